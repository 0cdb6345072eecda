"""Large COVID-19 CT scan slice dataset: slices of seven public sets, with patients.

Source: Maftouni M et al. A Robust Ensemble-Deep Learning Model for COVID-19 Diagnosis based on an
Integrated CT Scan Images Database. Proceedings of the IISE Annual Conference 2021.
"""

from collections.abc import Iterator
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
)
from training.errors import LayoutMismatch

NAME = "Large COVID-19 CT scan slice dataset"
LICENCE = "the terms of the seven sets that it pools (Kaggle; unverified)"
SOURCE = "ct-slices"
# CAP is pneumonia acquired outside a hospital.
LABELS = {"1NonCOVID": "normal", "2COVID": "covid-19", "3CAP": "pneumonia"}
SHEETS = {
    "1NonCOVID": "meta_data_normal.csv",
    "2COVID": "meta_data_covid.csv",
    "3CAP": "meta_data_cap.csv",
}

EXPECTED = (
    "curated_data/curated_data/{1NonCOVID,2COVID,3CAP}/*.png, or these below one curated_data, and "
    f"{', '.join(SHEETS.values())} beside, which name the patients. Download the "
    '"Large COVID-19 CT scan slice dataset" (Kaggle, maedemaftouni/large-covid19-ct-slice-dataset) '
    "and give its folder or the one above it"
)


class CtSlicesAdapter:
    """Reads ``curated_data/curated_data/{1NonCOVID,2COVID,3CAP}`` and the three sheets."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the slices; there is no official split.

        Args:
            root: The folder that holds the sheets, or the one above it.
            split: All slices are in ``train``.

        Raises:
            LayoutMismatch: A class folder or a sheet is missing, or a sheet is of something else.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        names = ("large-covid19-ct-slice-dataset",)
        home = find_home(
            root, names, lambda folder: has_folders(_curated(folder), LABELS), EXPECTED
        )
        check_class_folders(_curated(home), LABELS)
        rows = [row for name in LABELS for row in _rows(home, name)]
        return as_dataset(NAME, LICENCE, home, rows, split)


def _curated(home: Path) -> Path:
    outer = home / "curated_data"
    return outer if has_folders(outer, LABELS) else outer / "curated_data"


def _rows(home: Path, name: str) -> Iterator[ImageRow]:
    sheet = read_sheet(home / SHEETS[name], ("File name", "Patient ID"), EXPECTED)
    patients = dict(zip(sheet["File name"], sheet["Patient ID"], strict=True))
    images = images_of_class(_curated(home) / name, EXPECTED)
    if not any(patients.get(file.name) for file in images):
        raise LayoutMismatch(
            f"{home / SHEETS[name]} has a patient for none of the slices of {name}, "
            f"as {images[0].name}. Expected {EXPECTED}."
        )
    for file in images:
        # Any two of the few that the sheet does not list may be of one patient. The same number in
        # two sheets counts as one patient too: that can only make the groups larger.
        patient = patients.get(file.name) or f"{name}-unlisted"
        yield image_row(home, file, LABELS[name], SOURCE, patient=patient)
