from pathlib import Path

import pytest

from contract.radiograph import decode
from tests.synthetic import as_dicom, synthetic_radiograph
from tests.unit.training.datasets.trees import by_path, write_csv
from training.datasets.rsna_pneumonia import CLASSES, IMAGES, TARGETS, RsnaPneumoniaAdapter
from training.errors import LayoutMismatch, UnknownLabel

BOX = ("x", "y", "width", "height")
NO_BOX = ("", "", "", "")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "rsna-pneumonia-detection-challenge"
    targets = [
        ("0004cfab", *NO_BOX, "0"),
        ("00436515", "264.0", "152.0", "213.0", "379.0", "1"),
        ("00436515", "562.0", "152.0", "256.0", "453.0", "1"),
        ("00313ee0", *NO_BOX, "0"),
    ]
    write_csv(home / TARGETS, ("patientId", *BOX, "Target"), targets)
    (home / IMAGES).mkdir()
    for seed, patient in enumerate(("0004cfab", "00436515", "00313ee0")):
        radiograph = as_dicom(synthetic_radiograph(24, 24, seed=seed))
        (home / IMAGES / f"{patient}.dcm").write_bytes(radiograph)
    return home


def write_classes(home: Path, *rows: tuple[str, str]) -> None:
    write_csv(home / CLASSES, ("patientId", "class"), rows)


def test_the_two_sheets_make_three_labels(home: Path) -> None:
    write_classes(
        home,
        ("0004cfab", "No Lung Opacity / Not Normal"),
        ("00436515", "Lung Opacity"),
        ("00436515", "Lung Opacity"),
        ("00313ee0", "Normal"),
    )

    table = RsnaPneumoniaAdapter().read(home.parent, "train").table

    assert by_path(table, "label") == {
        f"{IMAGES}/0004cfab.dcm": "other",
        f"{IMAGES}/00313ee0.dcm": "normal",
        f"{IMAGES}/00436515.dcm": "pneumonia",
    }
    assert table["patient"].tolist() == ["0004cfab", "00313ee0", "00436515"]


def test_without_detailed_classes_nothing_is_called_normal(home: Path) -> None:
    table = RsnaPneumoniaAdapter().read(home, "train").table

    assert table["label"].tolist() == ["other", "other", "pneumonia"]


def test_the_listed_files_decode(home: Path) -> None:
    dataset = RsnaPneumoniaAdapter().read(home, "train")

    shapes = {
        decode((dataset.root / path).read_bytes()).pixels.shape for path in dataset.table["path"]
    }

    assert shapes == {(24, 24)}


def test_a_file_that_is_in_no_sheet_is_left_out(home: Path) -> None:
    (home / IMAGES / "unlabelled.dcm").touch()

    assert len(RsnaPneumoniaAdapter().read(home, "train").table) == 3


def test_sheets_that_contradict_each_other_are_noticed(home: Path) -> None:
    write_classes(home, ("00313ee0", "Lung Opacity"))

    with pytest.raises(UnknownLabel, match="calls 00313ee0 'Lung Opacity'"):
        RsnaPneumoniaAdapter().read(home, "train")


def test_sheets_of_other_images_are_noticed(home: Path) -> None:
    write_csv(home / TARGETS, ("patientId", "Target"), [("elsewhere", "0")])

    with pytest.raises(LayoutMismatch, match="lists none of the 3 DICOM files"):
        RsnaPneumoniaAdapter().read(home, "train")
