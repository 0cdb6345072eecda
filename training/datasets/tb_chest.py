"""Tuberculosis (TB) Chest X-ray Database: adults of the NLM, NIAID, Belarus and RSNA collections.

Half of the tuberculosis images are colour-tinted and the normals come from elsewhere: a classifier
can tell the two apart by that alone.

Source: Rahman T et al. Reliable Tuberculosis Detection Using Chest X-Ray With Deep Learning,
Segmentation and Visualization. IEEE Access 2020, DOI 10.1109/ACCESS.2020.3031384.
"""

from collections.abc import Iterator
from pathlib import Path

from training.datasets.base import Dataset, ImageRow, OfficialSplit
from training.datasets.layout import (
    as_dataset,
    check_class_folders,
    find_home,
    image_row,
    images_of_class,
)
from training.datasets.metadata_sheets import sources_of

NAME = "Tuberculosis (TB) Chest X-ray Database"
LICENCE = "the terms of the collections that it pools; copyright of their authors (Kaggle)"
SOURCE = "tb-chest"
LABELS = {"Tuberculosis": "tuberculosis", "Normal": "normal"}

EXPECTED = (
    "TB_Chest_Radiography_Database/{Tuberculosis,Normal}/*.png, of which Normal may be missing, "
    'and where there are any <class>.metadata.xlsx beside. Download the "Tuberculosis (TB) Chest '
    'X-ray Database" (Kaggle, tawsifurrahman/tuberculosis-tb-chest-xray-dataset) and give its '
    "folder or the one above it"
)


class TbChestAdapter:
    """Reads ``{Tuberculosis,Normal}/*.png`` with ``<class>.metadata.xlsx``."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images; there is no official split, and no patient.

        Args:
            root: The folder ``TB_Chest_Radiography_Database`` itself, or the one above it.
            split: All images are in ``train``.

        Raises:
            LayoutMismatch: There is no folder ``Tuberculosis``, or a sheet is of something else.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        home = find_home(root, ("TB_Chest_Radiography_Database",), _fits, EXPECTED)
        check_class_folders(home, LABELS)
        names = [name for name in LABELS if (home / name).is_dir()]
        rows = [row for name in names for row in _rows(home, name)]
        return as_dataset(NAME, LICENCE, home, rows, split)


def _fits(home: Path) -> bool:
    return (home / "Tuberculosis").is_dir()


def _rows(home: Path, name: str) -> Iterator[ImageRow]:
    images = images_of_class(home / name, EXPECTED)
    sources = sources_of(home / f"{name}.metadata.xlsx", images, SOURCE, EXPECTED)
    for file, source in sources.items():
        yield image_row(home, file, LABELS[name], source)
