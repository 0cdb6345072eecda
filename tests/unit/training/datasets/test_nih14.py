from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_csv
from training.datasets.nih14 import COLUMNS, Nih14Adapter
from training.errors import LayoutMismatch

ENTRIES = [
    ("00000001_000.png", "No Finding", "1"),
    ("00000002_000.png", "Infiltration|Pneumonia", "2"),
    ("00000002_001.png", "Mass", "2"),
    ("00000003_000.png", "Pneumothorax", "3"),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_csv(tmp_path / "Data_Entry_2017.csv", COLUMNS, ENTRIES)
    touch(tmp_path, *(f"images/{name}" for name, _, _ in ENTRIES))
    return tmp_path


def test_the_sheet_names_label_and_patient(home: Path) -> None:
    table = Nih14Adapter().read(home, "train").table

    assert table["label"].tolist() == ["normal", "pneumonia", "other", "other"]
    assert table["patient"].tolist() == ["1", "2", "2", "3"]
    assert Nih14Adapter().read(home, "test").table.empty


def test_the_official_list_splits_by_patient(home: Path) -> None:
    (home / "test_list.txt").write_text("00000002_000.png\n00000002_001.png\n", encoding="utf-8")

    train = Nih14Adapter().read(home, "train").table
    test = Nih14Adapter().read(home, "test").table

    assert train["patient"].tolist() == ["1", "3"]
    assert by_path(test, "split") == {
        "images/00000002_000.png": "test",
        "images/00000002_001.png": "test",
    }


def test_the_twelve_archives_may_be_unpacked_side_by_side(tmp_path: Path) -> None:
    home = tmp_path / "ChestX-ray14"
    write_csv(home / "Data_Entry_2017_v2020.csv", COLUMNS, ENTRIES)
    touch(home, "images_001/images/00000001_000.png", "images_012/images/00000003_000.png")

    table = Nih14Adapter().read(tmp_path, "train").table

    assert table["path"].tolist() == [
        "images_001/images/00000001_000.png",
        "images_012/images/00000003_000.png",
    ]


def test_images_without_the_sheet_have_no_labels(tmp_path: Path) -> None:
    touch(tmp_path, "images/00000001_000.png")

    with pytest.raises(LayoutMismatch, match=r"no Data_Entry_2017\.csv.*nih-chest-xrays/data"):
        Nih14Adapter().read(tmp_path, "train")


def test_a_sheet_of_other_images_is_noticed(home: Path) -> None:
    write_csv(home / "Data_Entry_2017.csv", COLUMNS, [("99999999_000.png", "Mass", "9")])

    with pytest.raises(LayoutMismatch, match="lists none of the 4 images"):
        Nih14Adapter().read(home, "train")


@pytest.mark.data
def test_of_the_real_files_the_sheet_is_missing(data_dir: Path) -> None:
    with pytest.raises(LayoutMismatch, match=r"no Data_Entry_2017\.csv"):
        Nih14Adapter().read(data_dir, "train")
