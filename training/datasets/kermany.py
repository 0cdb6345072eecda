"""Children of one to five years from Guangzhou, by class. Kermany 2018, DOI 10.17632/rscbjbr9sj."""

import re
from collections.abc import Iterator
from pathlib import Path

from training.datasets.base import (
    Dataset,
    ImageRow,
    OfficialSplit,
    as_dataset,
    find_home,
    visible,
)
from training.errors import DataError

LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
# The 16 images of the upstream folder "val" are too few to validate on; their patient numbers carry
# on those of "train", so they belong to it.
FOLDERS: dict[OfficialSplit, tuple[str, ...]] = {"train": ("train", "val"), "test": ("test",)}
# The second release names files by family and number, the third by disease and patient.
PATIENT_PATTERNS = (
    re.compile(r"(?P<patient>person\d+)_(?:bacteria|virus)_\d+(?:_\d+)?"),
    re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?"),
    re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(?P<patient>\d+)-\d+"),
)
EXPECTED = (
    "chest_xray/{train,test}/{NORMAL,PNEUMONIA}. Download the chest X-ray archive of "
    '"Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for Classification" '
    "(Mendeley Data, DOI 10.17632/rscbjbr9sj; on Kaggle it is called Chest X-Ray Images "
    "(Pneumonia)), and give its folder or the one above it"
)


def read_kermany(root: Path, split: OfficialSplit) -> Dataset:
    """List one official split; see ``Reader``."""
    folders = FOLDERS[split]

    def fits(home: Path) -> bool:
        return all((home / folders[0] / name).is_dir() for name in LABELS)

    home = find_home(root, ("chest_xray",), fits, EXPECTED)
    rows = [row for folder in folders for row in _rows(home, home / folder, split)]
    name = "Kermany 2018, Chest X-Ray Images (Pneumonia)"
    return as_dataset(name, "CC BY 4.0", home, rows, split)


def _rows(home: Path, part: Path, split: OfficialSplit) -> Iterator[ImageRow]:
    folders = [entry for entry in visible(part) if entry.is_dir()]
    if unknown := [folder.name for folder in folders if folder.name not in LABELS]:
        raise DataError(
            f"{part} has the class {', '.join(unknown)}; this data set has only "
            f"{', '.join(LABELS)}."
        )
    for folder in folders:
        files = [file for file in visible(folder) if file.suffix.lower() in SUFFIXES]
        if not files:
            raise DataError(f"{folder} holds no image. Expected {EXPECTED}.")
        for file in files:
            patient, path = _patient(file, split), file.relative_to(home).as_posix()
            yield ImageRow(path, LABELS[folder.name], patient, patient, split, "kermany")


def _patient(file: Path, split: OfficialSplit) -> str:
    """The patient that a file name carries; numbers start anew in each official split."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.fullmatch(file.stem):
            return f"{split}-{match['patient']}"
    raise DataError(
        f"The file name {file.name} carries no patient, as person123_bacteria_45.jpeg and "
        f"IM-0115-0001.jpeg do, so it cannot be split by patient. Expected {EXPECTED}."
    )
