"""Kermany 2018, "Chest X-Ray Images (Pneumonia)": children of one to five years from Guangzhou.

Source: Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray
Images for Classification. Mendeley Data, DOI 10.17632/rscbjbr9sj.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.datasets.base import Dataset, ImageRow, OfficialSplit
from training.datasets.layout import as_dataset, find_home, has_folders, image_row, labelled_images
from training.errors import LayoutMismatch

NAME = "Kermany 2018, Chest X-Ray Images (Pneumonia)"
LICENCE = "CC BY 4.0"
SOURCE = "kermany"
LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}

# The 16 images that the upstream folder "val" holds are too few to validate on; their patient
# numbers carry on those of "train", so they belong to it.
FOLDERS: dict[OfficialSplit, tuple[str, ...]] = {"train": ("train", "val"), "test": ("test",)}

EXPECTED = (
    "chest_xray/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg. Download the chest X-ray archive of "
    '"Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for Classification" '
    "(Mendeley Data, DOI 10.17632/rscbjbr9sj; on Kaggle it is called Chest X-Ray Images "
    "(Pneumonia)) and give the folder chest_xray or the one above it"
)

# The second release of the archive names files by family and number, the third by disease,
# patient and image.
PATIENT_PATTERNS = (
    re.compile(r"(?P<patient>person\d+)_(?:bacteria|virus)_\d+(?:_\d+)?"),
    re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?"),
    re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(?P<patient>\d+)-\d+"),
)


class KermanyAdapter:
    """Reads ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images of one official split.

        Args:
            root: The folder ``chest_xray`` itself, or the one above it.
            split: ``train`` includes the upstream folder ``val``.

        Raises:
            LayoutMismatch: A folder is missing, or a file name carries no patient.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        home = find_home(root, ("chest_xray",), lambda folder: _fits(folder / split), EXPECTED)
        rows = [row for folder in FOLDERS[split] for row in _rows(home, folder, split)]
        return as_dataset(NAME, LICENCE, home, rows, split)


def patient_in(file: Path, split: OfficialSplit) -> str | None:
    """The patient that a file name carries, if any; numbers start anew in each official split."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.fullmatch(file.stem):
            return f"{split}-{match['patient']}"
    return None


def _fits(folder: Path) -> bool:
    return has_folders(folder, LABELS)


def _rows(home: Path, folder: str, split: OfficialSplit) -> Iterator[ImageRow]:
    for file, label in labelled_images(home / folder, LABELS, EXPECTED):
        patient = patient_in(file, split)
        if patient is None:
            raise LayoutMismatch(
                f"The file name {file.name} carries no patient, as person123_bacteria_45.jpeg and "
                f"IM-0115-0001.jpeg do, so it cannot be split by patient. Expected {EXPECTED}."
            )
        yield image_row(home, file, label, SOURCE, patient=patient, split=split)
