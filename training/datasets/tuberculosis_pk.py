"""Dataset of Tuberculosis Chest X-rays Images: adults of a hospital in Pakistan.

Its normals look like those of one scanner: a classifier can tell the two apart by that alone.

Source: Kiran S, Jabeen I. Dataset of Tuberculosis Chest X-rays Images. Mendeley Data 2024,
DOI 10.17632/8j2g3csprk.
"""

from pathlib import Path

from training.datasets.base import Dataset, OfficialSplit
from training.datasets.layout import as_dataset, find_home, has_folders, image_row, labelled_images

NAME = "Dataset of Tuberculosis Chest X-rays Images"
LICENCE = "CC BY 4.0"
SOURCE = "tuberculosis-pk"
LABELS = {"Tuberculosis": "tuberculosis", "Normal": "normal"}

EXPECTED = (
    'tuberculosis_pk/{Tuberculosis,Normal}/*.jpg. Download the "Dataset of Tuberculosis Chest '
    'X-rays Images" (Mendeley Data, DOI 10.17632/8j2g3csprk), call its two folders so, and give '
    "the folder that holds them or the one above it"
)


class TuberculosisPkAdapter:
    """Reads ``{Tuberculosis,Normal}/*.jpg``."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images; there is no official split, and no patient.

        Args:
            root: The folder that holds the two classes, or the one above it.
            split: All images are in ``train``.

        Raises:
            LayoutMismatch: A class folder is missing.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        names = ("tuberculosis_pk",)
        home = find_home(root, names, lambda folder: has_folders(folder, LABELS), EXPECTED)
        labelled = labelled_images(home, LABELS, EXPECTED)
        rows = [image_row(home, file, label, SOURCE) for file, label in labelled]
        return as_dataset(NAME, LICENCE, home, rows, split)
