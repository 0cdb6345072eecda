"""The readers of upstream layouts, on small trees of empty files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.training_data import write_kermany
from training.datasets import (
    COVID_COLUMNS,
    SHEET_COLUMNS,
    OfficialSplit,
    check_labels,
    data_digest,
    read_dataset,
    read_sheet,
)
from training.errors import DataError, RecipeError

OFFICIAL: tuple[OfficialSplit, ...] = ("train", "test")
CLASSES = ("normal", "pneumonia")
COVID = "Pneumonia/Viral/COVID-19"
ROWS = [
    ("a/1.png", "xray", "covid19", "here", "p1", "g1", "train", "CC BY 4.0 (the authors)"),
    ("a/2.png", "xray", "normal", "here", "p2", "", "val", "CC BY 4.0 (the publisher)"),
    ("a/3.png", "xray", "tuberculosis", "here", "", "g3", "test", "free use; cite Wang 2017"),
    ("b/4.jpg", "ct", "covid", "there", "", "", "train", ""),
    ("b/5.jpg", "ct", "noncovid", "there", "", "g1", "test", ""),
    ("a/copy.png", "xray", "normal", "here", "p2", "", "", "secret"),
    ("c/1.dcm", "dicom", "other", "there", "", "", "", "MIT"),
]


def touch(home: Path, *names: str) -> None:
    for name in names:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(list(rows), columns=list(columns)).to_csv(path, index=False)


def by_path(table: Any, column: str) -> dict[str, str]:
    return dict(zip(table["path"], table[column], strict=True))


def labelled(*labels: str) -> pd.DataFrame:
    return pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels})


@pytest.mark.parametrize(
    ("adapter", "download"),
    [
        ("covid-chestxray", "ieee8023/covid-chestxray-dataset"),
        ("kermany", r"10\.17632/rscbjbr9sj"),
        ("manifest", "with the columns path, modality, label"),
    ],
)
def test_another_layout_is_answered_with_what_is_there_and_what_to_download(
    tmp_path: Path, adapter: str, download: str
) -> None:
    touch(tmp_path, "elephants/1.png")

    with pytest.raises(DataError, match=f"Found elephants in .*expected .*{download}"):
        read_dataset(adapter, tmp_path, "train")


def test_an_unknown_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'guangzhou'.*kermany"):
        read_dataset("guangzhou", tmp_path, "train")


def test_labels_must_be_the_recipes_classes_each_with_an_image() -> None:
    check_labels(labelled("pneumonia", "normal"), CLASSES, "The train split")
    with pytest.raises(DataError, match="The train split has the label tuberculosis"):
        check_labels(labelled("normal", "pneumonia", "tuberculosis"), CLASSES, "The train split")
    with pytest.raises(DataError, match="The validation split has no image of pneumonia"):
        check_labels(labelled("normal", "normal"), CLASSES, "The validation split")


def test_the_digest_names_the_content_and_not_the_place(tmp_path: Path) -> None:
    here, there = (write_kermany(tmp_path / name, "train", 2) for name in ("here", "there"))
    listed = read_dataset("kermany", there, "train")
    whole = data_digest(read_dataset("kermany", here, "train"))
    changed = there / "train" / "NORMAL" / "IM-0001-0001.jpeg"

    assert data_digest(listed) == whole
    with changed.open("ab") as file:
        file.write(b"\0")
    digests = {whole, data_digest(listed)}
    # A file that is gone does not stop it.
    changed.unlink()
    assert len({*digests, data_digest(listed)}) == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufefffile , patient,age\n1.png,007 ,4\n2.png,,NA\n".encode(), ["007", ""]),
        ("file,patient\n1.png,Müller\n".encode("latin-1"), ["Müller"]),
    ],
)
def test_a_sheet_is_read_as_text_without_outer_spaces(
    tmp_path: Path, content: bytes, expected: list[str]
) -> None:
    (tmp_path / "sheet.csv").write_bytes(content)

    sheet = read_sheet(tmp_path / "sheet.csv", ("file", "patient"), "a sheet")

    assert sheet["patient"].tolist() == expected
    assert list(sheet) == ["file", "patient"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,age\n1.png,4\n", r"columns file, age, not file, patient.*a sheet"),
        (None, "Expected a sheet"),
        (b"", "Expected a sheet"),
        (b'"\0', "Expected a sheet"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_answered_with_what_was_expected(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "sheet.csv").write_bytes(content)

    with pytest.raises(DataError, match=message):
        read_sheet(tmp_path / "sheet.csv", ("file", "patient"), "a sheet")


def test_every_image_of_kermany_has_its_label_and_its_patient(tmp_path: Path) -> None:
    home = write_kermany(tmp_path, "train", images_per_class=3)
    write_kermany(tmp_path, "val", images_per_class=1)

    # The folder above is as good, and the upstream validation folder counts as train.
    dataset = read_dataset("kermany", tmp_path, "train")

    assert dataset.root == home
    table = dataset.table
    assert table["path"][0] == "train/NORMAL/IM-0001-0001.jpeg"
    assert table["label"].tolist() == [*["normal"] * 3, *["pneumonia"] * 3, "normal", "pneumonia"]
    assert table["patient"].tolist()[:6] == [
        *("train-IM-0001", "train-IM-0001", "train-IM-0002"),
        *("train-person1", "train-person1", "train-person2"),
    ]
    assert table["group"].equals(table["patient"])
    assert set(table["split"]) == {"train"}
    # The numbers of a test folder, which training does not need, are other patients.
    with pytest.raises(DataError):
        read_dataset("kermany", tmp_path, "test")
    write_kermany(tmp_path, "test", images_per_class=2)
    tested = read_dataset("kermany", tmp_path, "test").table["patient"]
    assert set(tested).isdisjoint(table["patient"])


@pytest.mark.parametrize(
    ("file_name", "patient"),
    [
        ("person123_bacteria_45.jpeg", "train-person123"),
        ("person123_virus_45_1.jpeg", "train-person123"),
        ("IM-0115-0001-0002.jpeg", "train-IM-0115"),
        ("NORMAL2-IM-1427-0001.jpeg", "train-NORMAL2-IM-1427"),
        ("BACTERIA-1008087-0001.jpeg", "train-1008087"),
    ],
)
def test_the_patient_is_the_family_and_its_number(
    tmp_path: Path, file_name: str, patient: str
) -> None:
    touch(tmp_path, f"train/PNEUMONIA/{file_name}", "train/NORMAL/IM-0001-0001.jpeg")

    table = read_dataset("kermany", tmp_path, "train").table

    assert table.loc[table["label"] == "pneumonia", "patient"].item() == patient
    touch(tmp_path, "train/PNEUMONIA/scan.jpeg")
    with pytest.raises(DataError, match=r"scan\.jpeg carries no patient"):
        read_dataset("kermany", tmp_path, "train")


def test_a_class_folder_that_is_unknown_or_empty_is_named(tmp_path: Path) -> None:
    home = write_kermany(tmp_path, "train", images_per_class=1)
    (home / "train" / "NORMAL" / "IM-0001-0001.jpeg").unlink()
    touch(home, "train/NORMAL/.DS_Store", "train/NORMAL/Thumbs.db", "train/NORMAL/._a.jpeg")

    with pytest.raises(DataError, match="train/NORMAL"):
        read_dataset("kermany", home, "train")
    (home / "train" / "TUBERCULOSIS").mkdir()
    with pytest.raises(DataError, match="TUBERCULOSIS"):
        read_dataset("kermany", home, "train")


def write_covid(home: Path, *rows: tuple[str, str, str, str, str]) -> Path:
    """Patient, finding, view, modality and file name of each image, and empty files."""
    table = [(*row[:4], "images", row[4]) for row in rows]
    write_csv(home / "metadata.csv", COVID_COLUMNS, table)
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
    home = write_covid(tmp_path, ("1", finding, "PA", "X-ray", "a.jpg"))

    assert read_dataset("covid-chestxray", home, "train").table["label"].item() == label


def test_only_frontal_radiographs_are_listed(tmp_path: Path) -> None:
    views = ["PA", "AP", "AP Supine", "AP erect", "L", "Coronal", ""]
    rows = [("1", COVID, view, "X-ray", f"{number}.png") for number, view in enumerate(views)]
    others = [("1", COVID, "Axial", "CT", "ct.png"), ("1", COVID, "PA", "CT", "x")]

    table = read_dataset("covid-chestxray", write_covid(tmp_path, *rows, *others), "train").table

    assert table["path"].tolist() == [f"images/{number}.png" for number in range(4)]


def test_a_file_listed_for_two_patients_is_one_image_and_makes_them_one(tmp_path: Path) -> None:
    write_covid(
        tmp_path / "covid-chestxray-dataset",
        ("285", "Pneumonia", "PA", "X-ray", "a.jpg"),
        ("339", "Pneumonia", "PA", "X-ray", "a.jpg"),
        ("339", "Pneumonia", "PA", "X-ray", "b.jpg"),
        ("324b", COVID, "PA", "X-ray", "c.jpg"),
    )

    table = read_dataset("covid-chestxray", tmp_path, "train").table

    patients = {"images/a.jpg": "285", "images/b.jpg": "285", "images/c.jpg": "324b"}
    assert by_path(table, "patient") == by_path(table, "group") == patients
    assert set(table["source"]) == {"covid-chestxray"}


def test_listed_images_may_be_missing_but_not_all_of_them(tmp_path: Path) -> None:
    home = write_covid(
        tmp_path, ("1", COVID, "PA", "X-ray", "a.jpg"), ("2", COVID, "PA", "X-ray", "b.jpg")
    )
    (home / "images" / "a.jpg").unlink()

    assert read_dataset("covid-chestxray", home, "train").table["path"].item() == "images/b.jpg"
    (home / "images" / "b.jpg").unlink()
    with pytest.raises(DataError, match="lists 2 frontal radiographs, and none"):
        read_dataset("covid-chestxray", home, "train")


def write_manifest(home: Path, *rows: tuple[str, ...]) -> Path:
    write_csv(home / "manifest.csv", SHEET_COLUMNS, [*ROWS, *rows])
    touch(home, *(row[0] for row in [*ROWS, *rows]))
    return home


def test_a_manifest_has_train_and_val_to_train(tmp_path: Path) -> None:
    # A file that is listed again counts once.
    again = ("a/1.png", "xray", "covid19", "here", "p1 again", "g1", "train", "CC BY 4.0")
    home = write_manifest(tmp_path, again)

    train, test = (read_dataset("manifest", home, split).table for split in OFFICIAL)

    assert train["path"].tolist() == ["a/1.png", "a/2.png", "b/4.jpg"]
    assert train["label"].tolist() == ["covid-19", "normal", "covid-19"]
    assert train["source"].tolist() == ["here", "here", "there"]
    assert train["split"].tolist() == ["train", "validation", "train"]
    # Patient and group stand in for each other, and the path for both; licences are in short.
    assert train["patient"].tolist() == ["p1", "p2", "b/4.jpg"]
    assert train["group"].tolist() == ["g1", "p2", "b/4.jpg"]
    assert train["licence"].tolist() == ["CC BY 4.0", "CC BY 4.0", ""]
    assert by_path(test, "label") == {"a/3.png": "tuberculosis", "b/5.jpg": "other"}
    assert test["patient"].tolist() == ["g3", "g1"]
    assert test["licence"].tolist() == ["free use", ""]
    assert set(test["split"]) == {"test"}


def test_an_incomplete_copy_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    home = write_manifest(tmp_path)
    for name in ("a/1.png", "b/4.jpg", "a/copy.png"):
        (home / name).unlink()

    with pytest.raises(DataError, match=r"2 of the 3 files .* as a/1\.png, b/4\.jpg\."):
        read_dataset("manifest", home, "train")
    assert len(read_dataset("manifest", home, "test").table) == 2
    write_csv(home / "manifest.csv", SHEET_COLUMNS, ROWS[:1])
    with pytest.raises(DataError, match="lists no image to test; its rows are 1 of xray"):
        read_dataset("manifest", home, "test")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("d/1.png", "ct", "covid", "x", "", "", "holdout", ""), "has the split holdout"),
        (
            ("a/1.png", "xray", "normal", "here", "p1", "g1", "train", ""),
            r"lists a/1\.png with two labels, groups or splits",
        ),
    ],
)
def test_a_row_that_cannot_be_is_noticed(
    tmp_path: Path, row: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset("manifest", write_manifest(tmp_path, row), "train")


@pytest.mark.data
@pytest.mark.parametrize(
    ("adapter", "split", "counts"),
    [
        ("covid-chestxray", "train", {"covid-19": 116, "pneumonia": 24, "normal": 6, "other": 1}),
        (
            "manifest",
            "train",
            {
                "pneumonia": 3967,
                "normal": 1920,
                "tuberculosis": 1249,
                "covid-19": 672,
                "other": 203,
            },
        ),
        (
            "manifest",
            "test",
            {"pneumonia": 391, "normal": 309, "covid-19": 91, "tuberculosis": 72, "other": 27},
        ),
    ],
)
def test_the_real_files_are_read_as_their_lists_say(
    data_dir: Path, adapter: str, split: OfficialSplit, counts: dict[str, int]
) -> None:
    table = read_dataset(adapter, data_dir, split).table

    assert table["label"].value_counts().to_dict() == counts


@pytest.mark.data
def test_the_real_sets_have_their_size_and_no_group_crosses_their_splits(data_dir: Path) -> None:
    sizes = [len(read_dataset("kermany", data_dir, split).table) for split in OFFICIAL]
    train, test = (set(read_dataset("manifest", data_dir, s).table["group"]) for s in OFFICIAL)

    assert sizes == [5216, 624]
    assert train.isdisjoint(test)
