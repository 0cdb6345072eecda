"""SARS-COV-2 CT-Scan Dataset: 2,482 slices of 120 patients from hospitals in São Paulo.

The published files say nothing of the patient. Neighbouring numbers are often slices of one
patient, and only those that are nearly the same will be kept together: figures from a random split
of it are too good.

Source: Soares E et al. SARS-CoV-2 CT-scan dataset: A large dataset of real patients CT scans for
SARS-CoV-2 identification. medRxiv 2020, DOI 10.1101/2020.04.24.20078584.
"""

from pathlib import Path

from training.datasets.base import Dataset, OfficialSplit
from training.datasets.layout import as_dataset, find_home, has_folders, image_row, labelled_images

NAME = "SARS-COV-2 CT-Scan Dataset"
LICENCE = "CC BY-NC-SA 4.0 (Kaggle; unverified)"
SOURCE = "sars-cov-2-ct"
# "Not COVID" says neither that the lung is normal nor what else it has.
LABELS = {"COVID": "covid-19", "non-COVID": "other"}

EXPECTED = (
    'sars-cov-2-ct/{COVID,non-COVID}/*.png. Download the "SARS-COV-2 Ct-Scan Dataset" (Kaggle, '
    "plameneduardo/sarscov2-ctscan-dataset) and give the folder that holds the two classes or the "
    "one above it"
)


class SarsCov2CtAdapter:
    """Reads ``{COVID,non-COVID}/*.png``."""

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the slices; there is no official split, and no patient.

        Args:
            root: The folder that holds the two classes, or the one above it.
            split: All slices are in ``train``.

        Raises:
            LayoutMismatch: A class folder is missing.
            UnknownLabel: There is a class folder that the data set does not have.
            EmptyClass: A class folder holds no image.
        """
        names = ("sars-cov-2-ct", "sarscov2-ctscan-dataset")
        home = find_home(root, names, lambda folder: has_folders(folder, LABELS), EXPECTED)
        labelled = labelled_images(home, LABELS, EXPECTED)
        rows = [image_row(home, file, label, SOURCE) for file, label in labelled]
        return as_dataset(NAME, LICENCE, home, rows, split)
