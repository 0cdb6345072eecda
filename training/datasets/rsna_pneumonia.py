"""RSNA Pneumonia Detection Challenge 2018: adults of NIH ChestX-ray14, read anew by radiologists.

Source: Shih G et al. Augmenting the National Institutes of Health Chest Radiograph Dataset with
Expert Annotations of Possible Pneumonia. Radiology: Artificial Intelligence 2019,
DOI 10.1148/ryai.2019180041.
"""

from pathlib import Path

from training.datasets.base import Dataset, OfficialSplit
from training.datasets.layout import as_dataset, find_home, image_row, read_sheet, visible
from training.errors import LayoutMismatch, UnknownLabel

NAME = "RSNA Pneumonia Detection Challenge"
LICENCE = "research, education and other use with attribution (RSNA's terms)"
SOURCE = "rsna-pneumonia"
IMAGES = "stage_2_train_images"
TARGETS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"

# The radiologists marked lung opacities suspicious for pneumonia, without the patient's history.
# That is what the challenge and all work on it call pneumonia.
OPACITY = "pneumonia"
WITHOUT_OPACITY = {"Normal": "normal", "No Lung Opacity / Not Normal": "other"}

EXPECTED = (
    f"{IMAGES}/*.dcm, {TARGETS} and, to tell normal lungs from other findings, {CLASSES}. Download "
    "the second stage of the RSNA Pneumonia Detection Challenge (Kaggle, competition "
    "rsna-pneumonia-detection-challenge; also from RSNA) and give its folder or the one above it"
)


class RsnaPneumoniaAdapter:
    """Reads ``stage_2_train_images/*.dcm`` with the challenge's two sheets.

    The challenge's test images have no labels: they are not listed.
    """

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the labelled radiographs; each is of another patient.

        Without the sheet of detailed classes a lung without opacity is ``other``, since it may be
        normal or not.

        Args:
            root: The challenge's folder, or the one above it.
            split: All images are in ``train``.

        Raises:
            LayoutMismatch: Images or sheets are missing, or no image is in the sheet.
            UnknownLabel: There is a class that the challenge does not have, or the sheets
                contradict each other.
        """
        home = find_home(root, ("rsna-pneumonia-detection-challenge",), _fits, EXPECTED)
        labels = _labels(home)
        files = [file for file in visible(home / IMAGES) if file.suffix == ".dcm"]
        listed = [file for file in files if file.stem in labels]
        if not listed:
            raise LayoutMismatch(
                f"{TARGETS} lists none of the {len(files)} DICOM files of {home / IMAGES}. "
                f"Expected {EXPECTED}."
            )
        rows = [
            image_row(home, file, labels[file.stem], SOURCE, patient=file.stem) for file in listed
        ]
        return as_dataset(NAME, LICENCE, home, rows, split)


def _fits(home: Path) -> bool:
    return (home / IMAGES).is_dir() and (home / TARGETS).is_file()


def _labels(home: Path) -> dict[str, str]:
    """The label of each patient. A patient with several opacities has a row for each."""
    targets = read_sheet(home / TARGETS, ("patientId", "Target"), EXPECTED)
    opaque = set(targets.loc[targets["Target"] == "1", "patientId"])
    classes = _classes(home)
    return {
        patient: OPACITY if patient in opaque else _without_opacity(patient, classes)
        for patient in targets["patientId"]
    }


def _classes(home: Path) -> dict[str, str]:
    if not (home / CLASSES).is_file():
        return {}
    sheet = read_sheet(home / CLASSES, ("patientId", "class"), EXPECTED)
    return dict(zip(sheet["patientId"], sheet["class"], strict=True))


def _without_opacity(patient: str, classes: dict[str, str]) -> str:
    if patient not in classes:
        return "other"
    if classes[patient] not in WITHOUT_OPACITY:
        known = ", ".join(WITHOUT_OPACITY)
        raise UnknownLabel(
            f"{CLASSES} calls {patient} {classes[patient]!r}. {TARGETS} has no opacity for it, "
            f"so it should be one of: {known}. Take both sheets from the second stage."
        )
    return WITHOUT_OPACITY[classes[patient]]
