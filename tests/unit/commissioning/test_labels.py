from pathlib import Path

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
    assert labelled.missing() == {"normal": 29, "pneumonia": 28}
    # A model that knows infection alone takes pneumonia for it.
    assert read_labels(tmp_path, table, ("normal", "infection")).findings[1] == "infection"
    (tmp_path / "b.png").unlink()
    with pytest.raises(LabelsUnusable, match=r"b\.png"):
        read_labels(tmp_path, table, KNOWN)


def test_folders_are_named_for_their_finding(tmp_path: Path) -> None:
    for name in ("normal/a.png", "normal/b.png", "pneumonia/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    labelled = read_labels(tmp_path, tmp_path, KNOWN)

    assert labelled.counts() == {"normal": 2, "pneumonia": 1}


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["a.png,cardiomegaly,p"], "path,finding,patient", "cardiomegaly"),
        (["a.png,normal,p", "a.png,normal,p"], "path,finding,patient", "twice"),
        (["a.png,normal,p"], "file,finding,patient", "no column path"),
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
