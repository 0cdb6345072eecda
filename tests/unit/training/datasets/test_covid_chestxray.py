from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_csv
from training.datasets import COVID_COLUMNS as COLUMNS
from training.datasets import read_dataset
from training.errors import DataError

COVID = "Pneumonia/Viral/COVID-19"


def write(home: Path, *rows: tuple[str, str, str, str, str]) -> Path:
    """Patient, finding, view, modality and file name of each image, and empty files."""
    table = [(*row[:4], "images", row[4]) for row in rows]
    write_csv(home / "metadata.csv", COLUMNS, table)
    touch(home, *(f"images/{row[4]}" for row in rows))
    return home


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        (COVID, "covid-19"),
        ("COVID-19, ARDS", "covid-19"),
        ("Pneumonia/Bacterial/Streptococcus", "pneumonia"),
        ("Pneumonia/Viral/Herpes ", "pneumonia"),
        ("Pneumonia/Bacterial/Staphylococcus/MRSA", "pneumonia"),
        ("Klebsiella", "pneumonia"),
        ("Tuberculosis", "tuberculosis"),
        ("Pneumonia/Tuberculosis", "tuberculosis"),
        ("No Finding", "normal"),
        ("todo", "other"),
        ("Unknown", "other"),
        ("ARDS", "other"),
    ],
)
def test_the_finding_decides_the_label(tmp_path: Path, finding: str, label: str) -> None:
    home = write(tmp_path, ("1", finding, "PA", "X-ray", "a.jpg"))

    assert read_dataset("covid-chestxray", home, "train").table["label"].item() == label


def test_only_frontal_radiographs_are_listed(tmp_path: Path) -> None:
    views = ["PA", "AP", "AP Supine", "AP erect", "L", "Coronal", ""]
    rows = [("1", COVID, view, "X-ray", f"{number}.png") for number, view in enumerate(views)]
    home = write(
        tmp_path, *rows, ("1", COVID, "Axial", "CT", "ct.png"), ("1", COVID, "PA", "CT", "x")
    )

    table = read_dataset("covid-chestxray", home, "train").table

    assert table["path"].tolist() == [f"images/{number}.png" for number in range(4)]


def test_patients_are_known(tmp_path: Path) -> None:
    write(
        tmp_path / "covid-chestxray-dataset",
        ("324b", COVID, "PA", "X-ray", "a.jpg"),
        ("4", COVID, "PA", "X-ray", "b.png"),
        ("4", COVID, "AP", "X-ray", "c.png"),
    )

    table = read_dataset("covid-chestxray", tmp_path, "train").table

    assert table["patient"].tolist() == table["group"].tolist() == ["324b", "4", "4"]
    assert set(table["source"]) == {"covid-chestxray"}


def test_a_file_listed_for_two_patients_is_one_image_and_makes_them_one(tmp_path: Path) -> None:
    home = write(
        tmp_path,
        ("285", "Pneumonia", "PA", "X-ray", "a.jpg"),
        ("339", "Pneumonia", "PA", "X-ray", "a.jpg"),
        ("339", "Pneumonia", "PA", "X-ray", "b.jpg"),
    )

    table = read_dataset("covid-chestxray", home, "train").table

    assert by_path(table, "patient") == {"images/a.jpg": "285", "images/b.jpg": "285"}


def test_listed_images_may_be_missing_but_not_all_of_them(tmp_path: Path) -> None:
    home = write(
        tmp_path,
        ("1", COVID, "PA", "X-ray", "a.jpg"),
        ("2", COVID, "PA", "X-ray", "b.jpg"),
    )
    (home / "images" / "a.jpg").unlink()

    assert read_dataset("covid-chestxray", home, "train").table["path"].item() == "images/b.jpg"
    (home / "images" / "b.jpg").unlink()
    with pytest.raises(DataError, match="lists 2 frontal radiographs, and none"):
        read_dataset("covid-chestxray", home, "train")


def test_the_sheet_of_another_data_set_is_noticed(tmp_path: Path) -> None:
    write_csv(tmp_path / "metadata.csv", ("Image Index", "Finding Labels"), [("1.png", "Mass")])

    with pytest.raises(DataError, match="has the columns Image Index, Finding Labels"):
        read_dataset("covid-chestxray", tmp_path, "train")


@pytest.mark.data
def test_the_real_files_are_read_as_their_list_says(data_dir: Path) -> None:
    table = read_dataset("covid-chestxray", data_dir, "train").table

    assert table["label"].value_counts().to_dict() == {
        "covid-19": 116,
        "pneumonia": 24,
        "normal": 6,
        "other": 1,
    }
