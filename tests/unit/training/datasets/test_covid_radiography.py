from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_xlsx
from training.datasets import read_dataset
from training.datasets.base import COLUMNS
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

SHEET = ("FILE NAME", "FORMAT", "SIZE", "URL")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "COVID-19_Radiography_Dataset"
    touch(home, "COVID/images/COVID-1.png", "COVID/images/COVID-2.png", "COVID/masks/COVID-2.png")
    touch(home, "Normal/images/Normal-1.png", "Viral Pneumonia/images/Viral Pneumonia-1.png")
    touch(home, "Lung_Opacity/images/Lung_Opacity-1.png", "README.md.txt")
    return home


def test_every_image_has_its_label_and_where_there_is_one_its_mask(home: Path) -> None:
    table = read_dataset("covid-radiography", home, "train").table

    assert by_path(table, "label") == {
        "COVID/images/COVID-1.png": "covid-19",
        "COVID/images/COVID-2.png": "covid-19",
        "Normal/images/Normal-1.png": "normal",
        "Lung_Opacity/images/Lung_Opacity-1.png": "lung-opacity",
        "Viral Pneumonia/images/Viral Pneumonia-1.png": "pneumonia",
    }
    assert table["mask"].tolist() == ["", "COVID/masks/COVID-2.png", "", "", ""]
    assert table["patient"].is_unique


def test_the_folder_above_is_as_good_and_there_is_no_test_split(home: Path) -> None:
    above = read_dataset("covid-radiography", home.parent, "train")
    test = read_dataset("covid-radiography", home, "test")

    assert above.root == home
    assert test.table.empty
    assert tuple(test.table.columns) == COLUMNS


def test_the_sheets_say_where_an_image_came_from(home: Path) -> None:
    covid = [
        ("COVID-1", "PNG", "256*256", "https://github.com/armiro/COVID-CXNet"),
        ("COVID-2", "PNG", "256*256", "https://www.eurorad.org"),
    ]
    rsna = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data"
    write_xlsx(home / "COVID.metadata.xlsx", SHEET, covid)
    write_xlsx(home / "Normal.metadata.xlsx", SHEET, [("NORMAL-1", "PNG", "256*256", rsna)])
    write_xlsx(home / "Viral Pneumonia.metadata.xlsx", SHEET, [("viral  pneumonia-1", "", "", "")])

    table = read_dataset("covid-radiography", home, "train").table

    assert by_path(table, "source") == {
        "COVID/images/COVID-1.png": "covid-radiography-github-com-armiro-covid-cxnet",
        "COVID/images/COVID-2.png": "covid-radiography-eurorad-org",
        "Normal/images/Normal-1.png": (
            "covid-radiography-kaggle-com-c-rsna-pneumonia-detection-challenge"
        ),
        "Lung_Opacity/images/Lung_Opacity-1.png": "covid-radiography",
        "Viral Pneumonia/images/Viral Pneumonia-1.png": "covid-radiography",
    }


def test_a_sheet_of_another_class_is_noticed(home: Path) -> None:
    write_xlsx(home / "COVID.metadata.xlsx", SHEET, [("NORMAL-1", "", "", "https://sirm.org")])

    with pytest.raises(LayoutMismatch, match=r"names none of the images .* as COVID-1\.png"):
        read_dataset("covid-radiography", home, "train")


def test_two_classes_are_enough_and_one_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "COVID/images/COVID-1.png")

    with pytest.raises(LayoutMismatch, match="two of these classes at least"):
        read_dataset("covid-radiography", tmp_path, "train")
    touch(tmp_path, "Normal/images/Normal-1.png")
    assert len(read_dataset("covid-radiography", tmp_path, "train").table) == 2


def test_an_unknown_and_an_empty_class_are_named(home: Path) -> None:
    (home / "Normal" / "images" / "Normal-1.png").unlink()

    with pytest.raises(EmptyClass, match="Normal/images holds no image"):
        read_dataset("covid-radiography", home, "train")
    touch(home, "Influenza/images/1.png")
    with pytest.raises(UnknownLabel, match="class Influenza"):
        read_dataset("covid-radiography", home, "train")


@pytest.mark.data
def test_the_real_files_are_all_read(data_dir: Path) -> None:
    table = read_dataset("covid-radiography", data_dir, "train").table

    assert table["label"].value_counts().to_dict() == {
        "covid-19": 420,
        "normal": 320,
        "pneumonia": 60,
    }
