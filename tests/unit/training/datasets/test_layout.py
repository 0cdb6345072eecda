from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import touch, write_csv
from training.datasets import read_dataset, read_sheet
from training.errors import DataError

DOWNLOADS = [
    ("covid-chestxray", "ieee8023/covid-chestxray-dataset"),
    ("kermany", r"10\.17632/rscbjbr9sj"),
    ("manifest", "with the columns path, modality, label"),
]

SHEET = ("file", "patient")


@pytest.mark.parametrize(("adapter", "download"), DOWNLOADS)
def test_another_layout_is_answered_with_what_is_there_and_what_to_download(
    tmp_path: Path, adapter: str, download: str
) -> None:
    touch(tmp_path, "elephants/1.png")

    with pytest.raises(DataError, match=f"Found elephants in .*expected .*{download}"):
        read_dataset(adapter, tmp_path, "train")


def test_a_sheet_is_read_as_text_without_outer_spaces(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("\ufefffile , patient,age\n1.png,007 ,4\n2.png,,NA\n", encoding="utf-8")

    sheet = read_sheet(path, SHEET, "a sheet")

    assert sheet.to_numpy().tolist() == [["1.png", "007"], ["2.png", ""]]


def test_a_sheet_that_is_not_in_utf_8_is_read_as_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes("file,patient\n1.png,Müller\n".encode("latin-1"))

    assert read_sheet(path, SHEET, "a sheet")["patient"].item() == "Müller"


def test_a_sheet_without_a_column_is_answered_with_those_that_it_has(tmp_path: Path) -> None:
    write_csv(tmp_path / "sheet.csv", ("file", "age"), [("1.png", "4")])

    with pytest.raises(DataError, match=r"columns file, age, not file, patient.*a sheet"):
        read_sheet(tmp_path / "sheet.csv", SHEET, "a sheet")


def test_a_sheet_that_is_missing_empty_or_broken_cannot_be_read(tmp_path: Path) -> None:
    for content in (None, b"", b'"\0'):
        if content is not None:
            (tmp_path / "sheet.csv").write_bytes(content)

        with pytest.raises(DataError, match="Expected a sheet"):
            read_sheet(tmp_path / "sheet.csv", SHEET, "a sheet")
