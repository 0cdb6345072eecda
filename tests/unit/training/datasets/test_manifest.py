from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_csv
from training.datasets import SHEET_COLUMNS as COLUMNS
from training.datasets import read_dataset
from training.errors import DataError

ROWS = [
    ("a/1.png", "xray", "covid19", "here", "p1", "g1", "train", "CC BY 4.0 (the authors)"),
    ("a/2.png", "xray", "normal", "here", "p2", "", "val", "CC BY 4.0 (the publisher)"),
    ("a/3.png", "xray", "tuberculosis", "here", "", "g3", "test", "free use; cite Wang 2017"),
    ("b/4.jpg", "ct", "covid", "there", "", "", "train", ""),
    ("b/5.jpg", "ct", "noncovid", "there", "", "g1", "test", ""),
    ("a/copy.png", "xray", "normal", "here", "p2", "", "", "secret"),
    ("c/1.dcm", "dicom", "other", "there", "", "", "", "MIT"),
]


def write(home: Path, *rows: tuple[str, ...]) -> Path:
    write_csv(home / "manifest.csv", COLUMNS, [*ROWS, *rows])
    touch(home, *(row[0] for row in [*ROWS, *rows]))
    return home


def test_train_and_val_are_there_to_train(tmp_path: Path) -> None:
    home = write(tmp_path)

    train = read_dataset("manifest", home, "train").table
    test = read_dataset("manifest", home, "test").table

    assert by_path(train, "label") == {
        "a/1.png": "covid-19",
        "a/2.png": "normal",
        "b/4.jpg": "covid-19",
    }
    assert by_path(test, "label") == {"a/3.png": "tuberculosis", "b/5.jpg": "other"}
    assert by_path(train, "source") == {"a/1.png": "here", "a/2.png": "here", "b/4.jpg": "there"}
    assert by_path(train, "split") == {
        "a/1.png": "train",
        "a/2.png": "validation",
        "b/4.jpg": "train",
    }
    assert set(test["split"]) == {"test"}


def test_patient_and_group_stand_in_for_each_other_and_the_path_for_both(tmp_path: Path) -> None:
    home = write(tmp_path)

    train = read_dataset("manifest", home, "train").table
    test = read_dataset("manifest", home, "test").table

    assert train["patient"].tolist() == ["p1", "p2", "b/4.jpg"]
    assert train["group"].tolist() == ["g1", "p2", "b/4.jpg"]
    assert test["patient"].tolist() == ["g3", "g1"]


def test_each_image_has_its_licence_in_short(tmp_path: Path) -> None:
    home = write(tmp_path)

    train = read_dataset("manifest", home, "train").table
    test = read_dataset("manifest", home, "test").table

    assert by_path(train, "licence") == {
        "a/1.png": "CC BY 4.0",
        "a/2.png": "CC BY 4.0",
        "b/4.jpg": "",
    }
    assert by_path(test, "licence") == {"a/3.png": "free use", "b/5.jpg": ""}


def test_an_incomplete_copy_is_noticed(tmp_path: Path) -> None:
    home = write(tmp_path)
    for name in ("a/1.png", "b/4.jpg", "a/copy.png"):
        (home / name).unlink()

    with pytest.raises(DataError, match=r"2 of the 3 files .* as a/1\.png, b/4\.jpg\."):
        read_dataset("manifest", home, "train")
    assert len(read_dataset("manifest", home, "test").table) == 2


def test_a_split_that_is_unknown_or_empty_is_noticed(tmp_path: Path) -> None:
    unknown = write(tmp_path / "a", ("d/1.png", "ct", "covid", "x", "", "", "holdout", ""))
    write_csv(tmp_path / "b" / "manifest.csv", COLUMNS, ROWS[:1])

    with pytest.raises(DataError, match="has the split holdout"):
        read_dataset("manifest", unknown, "train")
    with pytest.raises(DataError, match="lists no image to test"):
        read_dataset("manifest", tmp_path / "b", "test")


def test_a_file_that_is_listed_again_counts_once(tmp_path: Path) -> None:
    again = ("a/1.png", "xray", "covid19", "here", "p1 again", "g1", "train", "CC BY 4.0")

    train = read_dataset("manifest", write(tmp_path, again), "train").table

    assert train["path"].tolist() == ["a/1.png", "a/2.png", "b/4.jpg"]
    assert train["licence"].tolist() == ["CC BY 4.0", "CC BY 4.0", ""]


def test_a_file_that_is_listed_in_two_ways_is_noticed(tmp_path: Path) -> None:
    home = write(tmp_path, ("a/1.png", "xray", "normal", "here", "p1", "g1", "train", ""))

    with pytest.raises(DataError, match=r"lists a/1\.png with two labels, groups or splits"):
        read_dataset("manifest", home, "train")


@pytest.mark.data
def test_the_real_manifest_is_read_and_no_group_crosses_its_splits(data_dir: Path) -> None:
    train = read_dataset("manifest", data_dir, "train").table
    test = read_dataset("manifest", data_dir, "test").table

    assert train["label"].value_counts().to_dict() == {
        "pneumonia": 3967,
        "normal": 1920,
        "tuberculosis": 1249,
        "covid-19": 672,
        "other": 203,
    }
    assert test["label"].value_counts().to_dict() == {
        "pneumonia": 391,
        "normal": 309,
        "covid-19": 91,
        "tuberculosis": 72,
        "other": 27,
    }
    assert set(train["group"]).isdisjoint(test["group"])
