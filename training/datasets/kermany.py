"""Kermany 2018, "Chest X-Ray Images (Pneumonia)": children of one to five years from Guangzhou.

Source: Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray
Images for Classification. Mendeley Data, DOI 10.17632/rscbjbr9sj.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from training.datasets.base import COLUMNS, Dataset, OfficialSplit
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

NAME = "Kermany 2018, Chest X-Ray Images (Pneumonia)"
LICENCE = "CC BY 4.0"
LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})

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
        home = _home(root, split)
        rows = [row for folder in FOLDERS[split] for row in _rows(home, folder, split)]
        return Dataset(NAME, LICENCE, home, pd.DataFrame(rows, columns=list(COLUMNS)))


def _home(root: Path, split: OfficialSplit) -> Path:
    for home in (root, root / "chest_xray"):
        if all((home / split / label).is_dir() for label in LABELS):
            return home
    found = ", ".join(sorted(entry.name for entry in _visible(root))[:8]) or "nothing"
    raise LayoutMismatch(f"Found {found} in {root}, expected {EXPECTED}.")


def _rows(home: Path, folder: str, split: OfficialSplit) -> Iterator[tuple[str, ...]]:
    for entry in _visible(home / folder):
        if entry.is_dir() and entry.name not in LABELS:
            known = ", ".join(LABELS)
            raise UnknownLabel(
                f"{folder} has the class {entry.name}; this data set has only {known}."
            )
    for name, label in LABELS.items():
        images = [file for file in _visible(home / folder / name) if file.suffix in SUFFIXES]
        if not images and folder == split:
            raise EmptyClass(f"{folder}/{name} holds no image. Expected {EXPECTED}.")
        for file in images:
            patient = f"{split}-{_patient(file)}"
            yield f"{folder}/{name}/{file.name}", label, patient, patient, split


def _patient(file: Path) -> str:
    """The patient that a file name carries; numbers start anew in each official split."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.fullmatch(file.stem):
            return match["patient"]
    raise LayoutMismatch(
        f"The file name {file.name} carries no patient, as person123_bacteria_45.jpeg and "
        f"IM-0115-0001.jpeg do, so it cannot be split by patient. Expected {EXPECTED}."
    )


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))
