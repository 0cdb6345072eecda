"""Chest X-Ray (Pneumonia, Covid-19, Tuberculosis): Kermany's children and adults of other sets.

It has no paper. Its normals and pneumonias are Kermany's, in Kermany's split, and its tuberculosis
comes from another set than its COVID-19: a classifier can tell them apart by their source.
"""

from collections.abc import Iterator
from pathlib import Path

from training.datasets.base import Dataset, ImageRow, OfficialSplit
from training.datasets.kermany import FOLDERS, patient_in
from training.datasets.layout import as_dataset, find_home, image_row, labelled_images

NAME = "Chest X-Ray (Pneumonia, Covid-19, Tuberculosis)"
LICENCE = "the terms of the sets that it pools (Kaggle; unverified)"
SOURCE = "four-class"
LABELS = {
    "COVID19": "covid-19",
    "NORMAL": "normal",
    "PNEUMONIA": "pneumonia",
    # The first is how upstream spells it.
    "TURBERCULOSIS": "tuberculosis",
    "TUBERCULOSIS": "tuberculosis",
}

EXPECTED = (
    "{train,test}/{COVID19,NORMAL,PNEUMONIA,TURBERCULOSIS}/*.{jpg,jpeg,png}, and val/ besides. "
    'Download "Chest X-Ray (Pneumonia, Covid-19, Tuberculosis)" (Kaggle, '
    "jtiptj/chest-xray-pneumoniacovid19tuberculosis) and give its folder or the one above it"
)


class FourClassAdapter:
    """Reads ``{train,val,test}/{COVID19,NORMAL,PNEUMONIA,TURBERCULOSIS}``."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images of one official split.

        The patient is known where the file is named as Kermany's are.

        Args:
            root: The folder that holds ``train`` and ``test``, or the one above it.
            split: ``train`` includes the upstream folder ``val``.

        Raises:
            LayoutMismatch: A folder is missing.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        names = ("chest-xray-pneumoniacovid19tuberculosis",)
        home = find_home(root, names, lambda folder: _fits(folder / split), EXPECTED)
        rows = [row for folder in FOLDERS[split] for row in _rows(home, folder, split)]
        return as_dataset(NAME, LICENCE, home, rows, split)


def _fits(folder: Path) -> bool:
    found = {label for name, label in LABELS.items() if (folder / name).is_dir()}
    return found == set(LABELS.values())


def _rows(home: Path, folder: str, split: OfficialSplit) -> Iterator[ImageRow]:
    for file, label in labelled_images(home / folder, LABELS, EXPECTED):
        patient = patient_in(file, split) or ""
        yield image_row(home, file, label, SOURCE, patient=patient, split=split)
