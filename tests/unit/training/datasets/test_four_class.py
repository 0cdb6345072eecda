from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch
from training.datasets.four_class import FourClassAdapter
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "chest-xray-pneumoniacovid19tuberculosis"
    touch(home, "train/COVID19/COVID19(0).jpg", "train/NORMAL/NORMAL2-IM-1427-0001.jpeg")
    touch(home, "train/PNEUMONIA/person1_virus_6.jpeg", "train/PNEUMONIA/person1_bacteria_2.jpeg")
    touch(home, "train/TURBERCULOSIS/Tuberculosis-651.png", "val/NORMAL/NORMAL2-IM-1430-0001.jpeg")
    touch(home, "test/COVID19/COVID19(5).jpg", "test/NORMAL/IM-0001-0001.jpeg")
    touch(home, "test/PNEUMONIA/person1_virus_6.jpeg", "test/TURBERCULOSIS/Tuberculosis-1.png")
    return home


def test_the_training_split_has_four_labels_and_the_validation_folder(home: Path) -> None:
    table = FourClassAdapter().read(home.parent, "train").table

    assert by_path(table, "label") == {
        "train/COVID19/COVID19(0).jpg": "covid-19",
        "train/NORMAL/NORMAL2-IM-1427-0001.jpeg": "normal",
        "train/PNEUMONIA/person1_bacteria_2.jpeg": "pneumonia",
        "train/PNEUMONIA/person1_virus_6.jpeg": "pneumonia",
        "train/TURBERCULOSIS/Tuberculosis-651.png": "tuberculosis",
        "val/NORMAL/NORMAL2-IM-1430-0001.jpeg": "normal",
    }
    assert set(table["split"]) == {"train"}


def test_a_patient_is_known_where_the_file_is_named_as_kermanys_are(home: Path) -> None:
    train = FourClassAdapter().read(home, "train").table
    test = FourClassAdapter().read(home, "test").table

    assert train["patient"].tolist() == [
        "train/COVID19/COVID190",
        "train-NORMAL2-IM-1427",
        "train-person1",
        "train-person1",
        "train/TURBERCULOSIS/Tuberculosis-651",
        "train-NORMAL2-IM-1430",
    ]
    assert set(train["patient"]).isdisjoint(test["patient"])


def test_the_right_spelling_of_tuberculosis_is_read_too(home: Path) -> None:
    (home / "test" / "TURBERCULOSIS").rename(home / "test" / "TUBERCULOSIS")

    table = FourClassAdapter().read(home, "test").table

    assert table["label"].tolist() == ["covid-19", "normal", "pneumonia", "tuberculosis"]


def test_a_missing_an_unknown_and_an_empty_class_are_named(home: Path) -> None:
    touch(home, "train/INFLUENZA/1.jpg")
    (home / "test" / "COVID19" / "COVID19(5).jpg").unlink()

    with pytest.raises(UnknownLabel, match="class INFLUENZA"):
        FourClassAdapter().read(home, "train")
    with pytest.raises(EmptyClass, match="test/COVID19 holds no image"):
        FourClassAdapter().read(home, "test")
    (home / "test" / "COVID19").rmdir()
    with pytest.raises(LayoutMismatch, match="TURBERCULOSIS"):
        FourClassAdapter().read(home, "test")
