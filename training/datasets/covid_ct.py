"""COVID-CT: slices cut out of papers, and of a teaching collection, that the UCSD gathered.

Source: Yang X, He X, Zhao J et al. COVID-CT-Dataset: A CT Scan Dataset about COVID-19. 2020,
arXiv:2003.13865.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.datasets.base import Dataset, ImageRow, OfficialSplit
from training.datasets.layout import (
    as_dataset,
    check_class_folders,
    find_home,
    has_folders,
    image_row,
    images_of_class,
    read_sheet,
    visible,
)
from training.errors import LayoutMismatch

NAME = "COVID-CT"
LICENCE = "copyright of the authors and publishers of the papers that the slices were cut from"
SOURCE = "covid-ct"
# "Not COVID" says neither that the lung is normal nor what else it has.
LABELS = {"CT_COVID": "covid-19", "CT_NonCOVID": "other"}
SHEETS = {
    "CT_COVID": ("COVID-CT-MetaInfo.xlsx", "File name", "Patient ID"),
    "CT_NonCOVID": ("NonCOVID-CT-MetaInfo.csv", "image name", "patient id"),
}
# Upstream validates on 118 slices; they belong to what is there to train.
PARTS: dict[str, OfficialSplit] = {"train": "train", "val": "train", "test": "test"}

# 2020.02.10.20021584-p6-52%3.png is the fourth part of image 52 on page 6 of that preprint.
PAPER_PAGE = re.compile(r"(?P<paper>.+?)-p\d+-.*")
# A case of the teaching collection is a run of numbers in which some slices were left out: where
# patients could be checked, none skips more than two numbers.
LARGEST_STEP = 3

EXPECTED = (
    "{CT_COVID,CT_NonCOVID}/*.{png,jpg}, unpacked, as such or in Images-processed/; where there "
    "are any, Data-split/{COVID,NonCOVID}/{train,val,test}CT_*.txt, COVID-CT-MetaInfo.xlsx and "
    "NonCOVID-CT-MetaInfo.csv beside. Download the GitHub repository UCSD-AI4H/COVID-CT and give "
    "its folder or the one above it"
)


class CovidCtAdapter:
    """Reads ``{CT_COVID,CT_NonCOVID}`` with the repository's split lists and sheets."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the slices of one official split.

        Where the sheets name no patient, all slices of a paper count as one patient.

        Args:
            root: The repository's folder, or the one above it.
            split: Without upstream's lists all slices are in ``train``.

        Raises:
            LayoutMismatch: A class folder or a list is missing, or a slice is in no list.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        names = ("COVID-CT", "COVID-CT-master")
        home = find_home(root, names, lambda folder: has_folders(_slices(folder), LABELS), EXPECTED)
        folder = _slices(home)
        beside = [entry.name for entry in visible(folder) if not entry.name.startswith("CT_")]
        check_class_folders(folder, [*LABELS, *beside])
        rows = [row for name in LABELS for row in _rows(home, name)]
        return as_dataset(NAME, LICENCE, home, rows, split)


def _slices(home: Path) -> Path:
    return home if has_folders(home, LABELS) else home / "Images-processed"


def _rows(home: Path, name: str) -> Iterator[ImageRow]:
    images = images_of_class(_slices(home) / name, EXPECTED)
    patients = {**_cases(images), **_published_patients(home, images, name)}
    splits = _official_splits(home, images, name)
    for file in images:
        patient = f"{name}-{patients[file]}"
        yield image_row(home, file, LABELS[name], SOURCE, patient=patient, split=splits[file])


def _published_patients(home: Path, images: Sequence[Path], name: str) -> dict[Path, str]:
    sheet, file_name, patient_id = SHEETS[name]
    if not (home / sheet).is_file():
        return {}
    table = read_sheet(home / sheet, (file_name, patient_id), EXPECTED)
    patients = dict(zip(table[file_name], table[patient_id], strict=True))
    # Some names stand there without their suffix.
    found = {file: patients.get(file.name) or patients.get(file.stem) for file in images}
    return {file: patient for file, patient in found.items() if patient}


def _cases(images: Sequence[Path]) -> dict[Path, str]:
    """What the file names tell of the patient: the paper, the figure, or the run of numbers."""
    return {**{file: _paper_or_figure(file) for file in images}, **_runs(images)}


def _paper_or_figure(file: Path) -> str:
    if match := PAPER_PAGE.fullmatch(file.stem):
        return match["paper"]
    return file.stem.split("%")[0]


def _runs(images: Sequence[Path]) -> dict[Path, str]:
    """The PNG files whose name is a number; a JPEG's number is its patient already."""
    numbered = [file for file in images if file.suffix == ".png" and file.stem.isdigit()]
    runs: dict[Path, str] = {}
    first = last = 0
    for file in sorted(numbered, key=lambda file: int(file.stem)):
        number = int(file.stem)
        if not runs or number - last > LARGEST_STEP:
            first = number
        runs[file] = f"run-{first}"
        last = number
    return runs


def _official_splits(home: Path, images: Sequence[Path], name: str) -> dict[Path, OfficialSplit]:
    lists = home / "Data-split" / name.removeprefix("CT_")
    if not lists.is_dir():
        return dict.fromkeys(images, "train")
    parts = {
        entry: split
        for part, split in PARTS.items()
        for entry in _entries(lists / f"{part}{name}.txt")
    }
    if unlisted := [file.name for file in images if file.name not in parts]:
        raise LayoutMismatch(
            f"{len(unlisted)} slices of {name}, as {unlisted[0]}, are in no list of {lists}. "
            f"Remove them, or Data-split. Expected {EXPECTED}."
        )
    return {file: parts[file.name] for file in images}


def _entries(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise LayoutMismatch(
            f"{path} cannot be read: {error.strerror}. Expected {EXPECTED}."
        ) from error
    return [line.strip() for line in lines]
