from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_csv
from training.datasets.ct_slices import SHEETS, CtSlicesAdapter
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

COLUMNS = ("Corona Patient No", "File name", "Patient ID", "Slice", "Diagnosis")
PATIENTS = {
    "1NonCOVID": [("n1.png", "N-1"), ("n2.png", "N-1")],
    "2COVID": [("c1.png", "P-1"), ("c2.png", "")],
    "3CAP": [("p1.png", "cap 1")],
}


def write(home: Path, curated: str) -> Path:
    for name, rows in PATIENTS.items():
        write_csv(home / SHEETS[name], COLUMNS, [("", *row, "7", name) for row in rows])
        touch(home, *(f"{curated}/{name}/{file}" for file, _ in rows))
    return home


@pytest.mark.parametrize("curated", ["curated_data/curated_data", "curated_data"])
def test_the_sheets_name_the_patients(tmp_path: Path, curated: str) -> None:
    home = write(tmp_path / "large-covid19-ct-slice-dataset", curated)

    table = CtSlicesAdapter().read(tmp_path, "train").table

    assert by_path(table, "label") == {
        f"{curated}/1NonCOVID/n1.png": "normal",
        f"{curated}/1NonCOVID/n2.png": "normal",
        f"{curated}/2COVID/c1.png": "covid-19",
        f"{curated}/2COVID/c2.png": "covid-19",
        f"{curated}/3CAP/p1.png": "pneumonia",
    }
    assert table["patient"].tolist() == ["N-1", "N-1", "P-1", "2COVID-unlisted", "cap 1"]
    assert CtSlicesAdapter().read(home, "test").table.empty


def test_slices_without_a_patient_stay_together(tmp_path: Path) -> None:
    home = write(tmp_path, "curated_data")
    touch(home, "curated_data/2COVID/x1.png", "curated_data/2COVID/x2.png")

    table = CtSlicesAdapter().read(home, "train").table

    assert (table["group"] == "2COVID-unlisted").sum() == 3


def test_a_missing_sheet_and_one_of_other_slices_are_noticed(tmp_path: Path) -> None:
    home = write(tmp_path, "curated_data")
    write_csv(home / SHEETS["2COVID"], COLUMNS, [("", "n1.png", "N-1", "7", "Normal")])

    with pytest.raises(LayoutMismatch, match=r"patient for none of the slices of 2COVID.*c1\.png"):
        CtSlicesAdapter().read(home, "train")
    (home / SHEETS["1NonCOVID"]).unlink()
    with pytest.raises(LayoutMismatch, match=r"meta_data_normal\.csv cannot be read"):
        CtSlicesAdapter().read(home, "train")


def test_an_unknown_and_an_empty_class_are_named(tmp_path: Path) -> None:
    home = write(tmp_path, "curated_data")
    (home / "curated_data" / "3CAP" / "p1.png").unlink()

    with pytest.raises(EmptyClass, match="3CAP holds no image"):
        CtSlicesAdapter().read(home, "train")
    touch(home, "curated_data/4TB/1.png")
    with pytest.raises(UnknownLabel, match="class 4TB"):
        CtSlicesAdapter().read(home, "train")
