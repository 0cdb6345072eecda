from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch
from training.datasets import read_dataset
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "sarscov2-ctscan-dataset"
    touch(home, "COVID/Covid (1).png", "COVID/Covid (2).png", "non-COVID/Non-Covid (1).png")
    return home


def test_every_slice_has_its_label_and_its_number(home: Path) -> None:
    table = read_dataset("sars-cov-2-ct", home.parent, "train").table

    assert table["label"].tolist() == ["covid-19", "covid-19", "other"]
    assert by_path(table, "patient") == {
        "COVID/Covid (1).png": "COVID/Covid 1",
        "COVID/Covid (2).png": "COVID/Covid 2",
        "non-COVID/Non-Covid (1).png": "non-COVID/Non-Covid 1",
    }
    assert read_dataset("sars-cov-2-ct", home, "test").table.empty


def test_a_missing_an_unknown_and_an_empty_class_are_named(home: Path) -> None:
    touch(home, "CAP/1.png")
    with pytest.raises(UnknownLabel, match="class CAP"):
        read_dataset("sars-cov-2-ct", home, "train")

    (home / "CAP" / "1.png").unlink()
    (home / "CAP").rmdir()
    (home / "non-COVID" / "Non-Covid (1).png").unlink()
    with pytest.raises(EmptyClass, match="non-COVID holds no image"):
        read_dataset("sars-cov-2-ct", home, "train")

    (home / "non-COVID").rmdir()
    with pytest.raises(LayoutMismatch, match="Found COVID in"):
        read_dataset("sars-cov-2-ct", home, "train")


@pytest.mark.data
def test_the_real_files_are_all_read(data_dir: Path) -> None:
    table = read_dataset("sars-cov-2-ct", data_dir, "train").table

    assert table["label"].value_counts().to_dict() == {"covid-19": 62, "other": 62}
