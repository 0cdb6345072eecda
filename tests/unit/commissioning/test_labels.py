from pathlib import Path

import numpy as np
import pytest

from commissioning.errors import LabelsUnusable
from commissioning.labels import read_labels, without_duplicates
from contract.findings import Label

KNOWN: tuple[Label, ...] = ("normal", "pneumonia")


def _table(folder: Path, *rows: str, header: str = "path,finding,patient") -> Path:
    for row in rows:
        (folder / row.split(",")[0]).touch()
    table = folder / "labels.csv"
    table.write_text("\n".join([header, *rows]))
    return table


def test_a_table_gives_findings_in_the_models_order(tmp_path: Path) -> None:
    table = _table(tmp_path, "a.png,pneumonia,p1", "b.png,normal,p2", "c.png,Pneumonia,p1")

    labelled = read_labels(tmp_path, table, KNOWN)

    assert labelled.findings == KNOWN
    assert labelled.classes.tolist() == [1, 0, 1]
    assert labelled.counts() == {"normal": 1, "pneumonia": 2}
    assert labelled.missing() == [
        "29 more images of normal",
        "9 more patients of normal",
        "28 more images of pneumonia",
        "9 more patients of pneumonia",
    ]
    assert labelled.notes == ()
    # A model that knows infection alone takes pneumonia for it.
    assert read_labels(tmp_path, table, ("normal", "infection")).findings[1] == "infection"
    (tmp_path / "b.png").unlink()
    with pytest.raises(LabelsUnusable, match=rf"b\.png \(line 3\): no file in {tmp_path}"):
        read_labels(tmp_path, table, KNOWN)


def test_folders_are_named_for_their_finding(tmp_path: Path) -> None:
    for name in ("normal/a.png", "normal/b.png", "pneumonia/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    labelled = read_labels(tmp_path, tmp_path, KNOWN)

    assert labelled.counts() == {"normal": 2, "pneumonia": 1}
    assert "3 of 3 images have no patient" in labelled.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        'path,finding,patient,age\na.png,normal,p1,045Y\n\nx/b.png,normal,p1,"38,5"\n',
        "sep=;\r\nPath;Finding;Patient ID;Age\r\n"
        "a.png;normal;p1;45\r\nx\\b.png;normal;p1;38,5\r\n;;;\r\n",
        "\ufeffFile name\tLABEL\tpatient_id\tPatient-Age\n"
        "a.png\tnormal\tp1\t45.0\nx/b.png\tnormal\tp1\t38.5\t\n",
    ],
    ids=["commas", "semicolons of Excel", "tabs"],
)
def test_a_table_is_read_as_a_spreadsheet_writes_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").mkdir()
    for name in ("a.png", "x/b.png", "labels.csv"):
        (tmp_path / name).touch()
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8", newline="")

    labelled = read_labels(tmp_path, tmp_path / "labels.csv", KNOWN)

    assert labelled.paths == (tmp_path / "a.png", tmp_path / "x" / "b.png")
    assert labelled.patients.tolist() == ["p1", "p1"]
    assert labelled.table["age"].tolist() == [45, 38.5]
    assert labelled.notes == ()


def test_what_is_not_taken_as_it_stands_is_told(tmp_path: Path) -> None:
    ages = ("006M", "012w", "030D", "seven", "411", "NA", "")
    rows = [f"{i}.png,normal,{i % 2 or ''},{age},x" for i, age in enumerate(ages)]
    table = _table(tmp_path, *rows, header="path,finding,patient,age,Ward")

    labelled = read_labels(tmp_path, table, KNOWN)

    expected = [0.5, 0.23, 0.08, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(labelled.table["age"], expected, atol=0.01)
    ignored, odd, alone = labelled.notes
    assert ignored == "Columns that are ignored: Ward."
    assert odd.startswith("2 ages are not understood")
    assert "'seven'" in odd
    assert alone.startswith("4 of 7 images have no patient")
    assert len(set(labelled.patients)) == 5


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_table_in_another_encoding_is_refused_with_what_to_do(
    tmp_path: Path, encoding: str
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,finding\nmüller.png,normal\n", encoding=encoding)

    with pytest.raises(LabelsUnusable, match="save it as CSV UTF-8"):
        read_labels(tmp_path, table, KNOWN)


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (
            ["a.png,normal,p", *(f"{i}.png,x{i % 7},p" for i in range(56))],
            "path,finding,patient",
            r"x0 \(line 3\).* and 2 more: no label of the model, which has normal, pneumonia\.",
        ),
        (["a.png,normal,p,45,5"], "path,finding,patient,age", "line 2, has more cells"),
        (["a.png,normal,p,q"], "path,finding,Patient_ID,Patient ID", "two columns for patient"),
        (["a.png,normal,p", "a.png,normal,p"], "path,finding,patient", "twice"),
        (["a.png,normal,p"], "picture,finding,patient", "no column path"),
        ([], "path,finding,patient", "names no image"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    tmp_path: Path, rows: list[str], header: str, said: str
) -> None:
    table = _table(tmp_path, *rows, header=header)

    with pytest.raises(LabelsUnusable, match=said):
        read_labels(tmp_path, table, KNOWN)


def test_copies_count_once_join_their_patients_and_have_one_finding(tmp_path: Path) -> None:
    table = _table(tmp_path, "a.png,normal,p1", "b.png,normal,p2", "c.png,pneumonia,p2")
    labelled = read_labels(tmp_path, table, KNOWN)

    left, index = without_duplicates(labelled, ["same", "same", "other"])

    assert index.tolist() == [0, 2]
    assert left.patients[0] == left.patients[1]
    with pytest.raises(LabelsUnusable, match=r"[ac]\.png and [ac]\.png are the same picture"):
        without_duplicates(labelled, ["same", "other", "same"])
