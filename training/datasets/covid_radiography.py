"""COVID-19 Radiography Database: adults of several collections, and children of Kermany's.

The classes come from different collections, which the sheets name: a classifier can tell them
apart by their source. There are no patients in it, and its "Viral Pneumonia" are all children.

Source: Chowdhury M E H et al. Can AI Help in Screening Viral and COVID-19 Pneumonia? IEEE Access
2020, DOI 10.1109/ACCESS.2020.3010287. Rahman T et al. Exploring the effect of image enhancement
techniques on COVID-19 detection using chest X-ray images. Computers in Biology and Medicine 2021,
DOI 10.1016/j.compbiomed.2021.104319.
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

NAME = "COVID-19 Radiography Database"
LICENCE = "the terms of the collections that it pools; copyright of their authors (Kaggle)"
SOURCE = "covid-radiography"
LABELS = {
    "COVID": "covid-19",
    "Normal": "normal",
    "Lung_Opacity": "lung-opacity",
    "Viral Pneumonia": "pneumonia",
}
# The classes are gathered one by one, so a copy without some of them is of use.
FEWEST_CLASSES = 2

EXPECTED = (
    "COVID-19_Radiography_Dataset/{COVID,Normal,Lung_Opacity,Viral Pneumonia}/images/*.png, two of "
    "these classes at least, and where there are any masks/*.png and <class>.metadata.xlsx beside. "
    'Download the "COVID-19 Radiography Database" (Kaggle, '
    "tawsifurrahman/covid19-radiography-database) and give its folder or the one above it"
)


class CovidRadiographyAdapter:
    """Reads ``<class>/images/*.png`` with ``<class>/masks`` and ``<class>.metadata.xlsx``."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images; there is no official split, and no patient.

        Args:
            root: The folder ``COVID-19_Radiography_Dataset`` itself, or the one above it.
            split: All images are in ``train``.

        Raises:
            LayoutMismatch: There are fewer than two classes, or a sheet is of something else.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        home = find_home(root, ("COVID-19_Radiography_Dataset",), _fits, EXPECTED)
        check_class_folders(home, LABELS)
        names = [name for name in LABELS if (home / name).is_dir()]
        rows = [row for name in names for row in _rows(home, name)]
        return as_dataset(NAME, LICENCE, home, rows, split)


def _fits(home: Path) -> bool:
    return sum((home / name / "images").is_dir() for name in LABELS) >= FEWEST_CLASSES


def _rows(home: Path, name: str) -> Iterator[ImageRow]:
    images = images_of_class(home / name / "images", EXPECTED)
    sources = sources_of(home / f"{name}.metadata.xlsx", images, SOURCE, EXPECTED)
    for file, source in sources.items():
        mask = home / name / "masks" / file.name
        path = mask.relative_to(home).as_posix() if mask.is_file() else ""
        yield image_row(home, file, LABELS[name], source, mask=path)
