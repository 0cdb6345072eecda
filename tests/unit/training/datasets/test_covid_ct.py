from pathlib import Path

import pandas as pd
import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_csv, write_xlsx
from training.datasets.covid_ct import CovidCtAdapter
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

COVID = ["2020.02.10.20021584-p6-52%0.png", "2020.02.10.20021584-p7-9.png", "PIIS014067362%3.png"]
OTHERS = ["1%0.jpg", "1%1.jpg", "13.jpg", "101.png", "104.png", "108.png"]


def write(home: Path) -> Path:
    touch(home, *(f"CT_COVID/{name}" for name in COVID))
    touch(home, *(f"CT_NonCOVID/{name}" for name in OTHERS))
    return home


def write_lists(home: Path, name: str, **parts: list[str]) -> None:
    folder = home / "Data-split" / name.removeprefix("CT_")
    folder.mkdir(parents=True)
    for part, files in parts.items():
        (folder / f"{part}{name}.txt").write_text("\n".join(files) + "\n", encoding="utf-8")


def test_without_sheets_the_paper_the_figure_or_the_run_of_numbers_is_the_patient(
    tmp_path: Path,
) -> None:
    home = write(tmp_path / "COVID-CT")

    table = CovidCtAdapter().read(tmp_path, "train").table

    assert by_path(table, "patient") == {
        f"CT_COVID/{COVID[0]}": "CT_COVID-2020.02.10.20021584",
        f"CT_COVID/{COVID[1]}": "CT_COVID-2020.02.10.20021584",
        f"CT_COVID/{COVID[2]}": "CT_COVID-PIIS014067362",
        "CT_NonCOVID/1%0.jpg": "CT_NonCOVID-1",
        "CT_NonCOVID/1%1.jpg": "CT_NonCOVID-1",
        "CT_NonCOVID/101.png": "CT_NonCOVID-run-101",
        "CT_NonCOVID/104.png": "CT_NonCOVID-run-101",
        "CT_NonCOVID/108.png": "CT_NonCOVID-run-108",
        "CT_NonCOVID/13.jpg": "CT_NonCOVID-13",
    }
    assert table["label"].tolist() == ["covid-19"] * 3 + ["other"] * 6
    assert CovidCtAdapter().read(home, "test").table.empty


def test_the_sheets_name_patients_with_and_without_a_suffix(tmp_path: Path) -> None:
    home = write(tmp_path)
    covid = [(COVID[0], "Patient 2"), (COVID[1].removesuffix(".png"), "Patient 3")]
    others = [("101.png", "medpix patient 1"), ("104.png", "medpix patient 2")]
    write_xlsx(home / "COVID-CT-MetaInfo.xlsx", ("File name", "Patient ID"), covid)
    write_csv(home / "NonCOVID-CT-MetaInfo.csv", ("image name", "patient id"), others)

    patients = by_path(CovidCtAdapter().read(home, "train").table, "patient")

    assert patients[f"CT_COVID/{COVID[0]}"] == "CT_COVID-Patient 2"
    assert patients[f"CT_COVID/{COVID[1]}"] == "CT_COVID-Patient 3"
    assert patients[f"CT_COVID/{COVID[2]}"] == "CT_COVID-PIIS014067362"
    assert patients["CT_NonCOVID/104.png"] == "CT_NonCOVID-medpix patient 2"


def test_upstreams_lists_split_it_and_its_validation_part_counts_as_train(tmp_path: Path) -> None:
    write(tmp_path / "Images-processed")
    write_lists(tmp_path, "CT_COVID", train=COVID[:1], val=COVID[1:2], test=COVID[2:])
    write_lists(tmp_path, "CT_NonCOVID", train=OTHERS[:2], val=[], test=OTHERS[2:])

    train = CovidCtAdapter().read(tmp_path, "train").table
    test = CovidCtAdapter().read(tmp_path, "test").table

    assert train["label"].tolist() == ["covid-19"] * 2 + ["other"] * 2
    assert test["path"].str.removeprefix("Images-processed/").tolist() == [
        f"CT_COVID/{COVID[2]}",
        *(f"CT_NonCOVID/{name}" for name in sorted(OTHERS[2:])),
    ]


def test_a_slice_in_no_list_and_a_missing_list_are_noticed(tmp_path: Path) -> None:
    home = write(tmp_path)
    write_lists(home, "CT_COVID", train=COVID[:1], val=COVID[1:2], test=[])

    with pytest.raises(LayoutMismatch, match="1 slices of CT_COVID, as PIIS"):
        CovidCtAdapter().read(home, "train")
    (home / "Data-split" / "COVID" / "testCT_COVID.txt").unlink()
    with pytest.raises(LayoutMismatch, match=r"testCT_COVID\.txt cannot be read"):
        CovidCtAdapter().read(home, "train")


def test_an_unknown_and_an_empty_class_are_named_and_other_folders_are_not(tmp_path: Path) -> None:
    home = write(tmp_path)
    touch(home, "baseline methods/train.py", "CT_CAP/1.png")

    with pytest.raises(UnknownLabel, match="class CT_CAP"):
        CovidCtAdapter().read(home, "train")
    (home / "CT_CAP" / "1.png").unlink()
    (home / "CT_CAP").rmdir()
    for name in COVID:
        (home / "CT_COVID" / name).unlink()
    with pytest.raises(EmptyClass, match="CT_COVID holds no image"):
        CovidCtAdapter().read(home, "train")


@pytest.mark.data
def test_no_real_patient_is_in_two_groups(data_dir: Path) -> None:
    table = CovidCtAdapter().read(data_dir, "train").table

    manifest = pd.read_csv(data_dir / "manifest.csv", dtype="str", keep_default_na=False)
    published = dict(zip(manifest["path"], manifest["patient_id"], strict=True))
    real = ("COVID-CT/" + table["path"]).map(published)
    assert table["label"].value_counts().to_dict() == {"other": 168, "covid-19": 165}
    assert table["group"].groupby(real).nunique().max() == 1
