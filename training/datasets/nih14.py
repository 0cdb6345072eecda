"""NIH ChestX-ray14: 112,120 frontal radiographs of adults and children, labels mined from reports.

Source: Wang X et al. ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks. CVPR 2017,
DOI 10.1109/CVPR.2017.369.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from training.datasets.base import Dataset, ImageRow, OfficialSplit
from training.datasets.layout import as_dataset, find_home, image_row, images_in, read_sheet
from training.errors import LayoutMismatch

NAME = "NIH ChestX-ray14"
LICENCE = "free use; cite Wang 2017 and the NIH Clinical Center"
SOURCE = "nih14"
SHEETS = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
TEST_LIST = "test_list.txt"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")

EXPECTED = (
    "images/*.png or images_001/images/*.png and so on, Data_Entry_2017.csv with the labels and "
    f"patients and, for the official split, {TEST_LIST}. Download ChestX-ray14 (NIH Clinical "
    "Center, nihcc.app.box.com/v/ChestXray-NIHCC; Kaggle, nih-chest-xrays/data) and give its "
    "folder or the one above it"
)


class Nih14Adapter:
    """Reads ``Data_Entry_2017.csv`` and those of its images that are there."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images of one official split, by patient where upstream's list is there.

        Args:
            root: The folder that holds the sheet, or the one above it.
            split: Without ``test_list.txt`` all images are in ``train``.

        Raises:
            LayoutMismatch: Images or sheet are missing, or no image is in the sheet.
        """
        names = ("nih14", "ChestX-ray14")
        home = find_home(root, names, lambda folder: any(_folders(folder)), EXPECTED)
        images = {file.name: file for folder in _folders(home) for file in images_in(folder)}
        sheet = read_sheet(_sheet(home), COLUMNS, EXPECTED)
        listed = sheet[sheet["Image Index"].isin(images)]
        if listed.empty:
            raise LayoutMismatch(
                f"{_sheet(home)} lists none of the {len(images)} images of {home}. "
                f"Expected {EXPECTED}."
            )
        return as_dataset(NAME, LICENCE, home, _rows(home, images, listed), split)


def _folders(home: Path) -> list[Path]:
    """The image folders: the twelve archives unpack to one or to twelve."""
    return [*home.glob("images"), *sorted(home.glob("images_0*/images"))]


def _sheet(home: Path) -> Path:
    for name in SHEETS:
        if (home / name).is_file():
            return home / name
    raise LayoutMismatch(
        f"Found images in {home}, but no {SHEETS[0]}: only there are their labels. "
        f"Expected {EXPECTED}."
    )


def _rows(home: Path, images: dict[str, Path], sheet: pd.DataFrame) -> Iterator[ImageRow]:
    test_list = home / TEST_LIST
    held_out = set(test_list.read_text(encoding="utf-8").split()) if test_list.is_file() else set()
    for name, findings, patient in sheet[list(COLUMNS)].itertuples(index=False):
        yield image_row(
            home,
            images[name],
            _label(findings.split("|")),
            SOURCE,
            patient=patient,
            split="test" if name in held_out else "train",
        )


def _label(findings: list[str]) -> str:
    if "Pneumonia" in findings:
        return "pneumonia"
    return "normal" if findings == ["No Finding"] else "other"
