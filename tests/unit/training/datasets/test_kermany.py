from pathlib import Path

import pytest

from tests.training_data import write_kermany
from tests.unit.training.datasets.trees import touch
from training.datasets import OfficialSplit, data_digest, read_dataset
from training.errors import DataError, RecipeError

OFFICIAL: tuple[OfficialSplit, ...] = ("train", "test")


def patient_of(root: Path, file_name: str) -> str:
    touch(root, f"train/PNEUMONIA/{file_name}", "train/NORMAL/IM-0001-0001.jpeg")
    table = read_dataset("kermany", root, "train").table
    return str(table.loc[table["label"] == "pneumonia", "patient"].item())


def test_every_image_has_its_label_and_its_patient(tmp_path: Path) -> None:
    home = write_kermany(tmp_path, "train", images_per_class=3)

    table = read_dataset("kermany", home, "train").table

    assert table["path"][0] == "train/NORMAL/IM-0001-0001.jpeg"
    assert table["label"].tolist() == ["normal"] * 3 + ["pneumonia"] * 3
    assert table["patient"].tolist() == [
        *("train-IM-0001", "train-IM-0001", "train-IM-0002"),
        *("train-person1", "train-person1", "train-person2"),
    ]
    assert table["group"].equals(table["patient"])


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
    assert patient_of(tmp_path, file_name) == patient


def test_the_folder_above_is_as_good(tmp_path: Path) -> None:
    home = write_kermany(tmp_path, "train", images_per_class=1)

    dataset = read_dataset("kermany", tmp_path, "train")

    assert dataset.root == home


def test_the_same_number_in_train_and_test_is_another_patient(tmp_path: Path) -> None:
    write_kermany(tmp_path, "train", images_per_class=2)
    write_kermany(tmp_path, "test", images_per_class=2)

    patients = [set(read_dataset("kermany", tmp_path, s).table["patient"]) for s in OFFICIAL]

    assert patients[0].isdisjoint(patients[1])


def test_the_upstream_validation_folder_counts_as_train(tmp_path: Path) -> None:
    write_kermany(tmp_path, "train", images_per_class=2)
    write_kermany(tmp_path, "val", images_per_class=1)

    table = read_dataset("kermany", tmp_path, "train").table

    assert table["path"].str.startswith("val/").sum() == 2
    assert set(table["split"]) == {"train"}


def test_training_needs_no_test_folder(tmp_path: Path) -> None:
    write_kermany(tmp_path, "train", images_per_class=1)

    with pytest.raises(DataError):
        read_dataset("kermany", tmp_path, "test")
    assert len(read_dataset("kermany", tmp_path, "train").table) == 2


def test_an_unknown_class_folder_is_named(tmp_path: Path) -> None:
    home = write_kermany(tmp_path, "train", images_per_class=1)
    (home / "train" / "TUBERCULOSIS").mkdir()

    with pytest.raises(DataError, match="TUBERCULOSIS"):
        read_dataset("kermany", home, "train")


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    home = write_kermany(tmp_path, "train", images_per_class=1)
    (home / "train" / "NORMAL" / "IM-0001-0001.jpeg").unlink()
    touch(home, "train/NORMAL/.DS_Store", "train/NORMAL/Thumbs.db", "train/NORMAL/._a.jpeg")

    with pytest.raises(DataError, match="train/NORMAL"):
        read_dataset("kermany", home, "train")


def test_a_file_without_a_patient_in_its_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scan\.jpeg carries no patient"):
        patient_of(tmp_path, "scan.jpeg")


def test_an_unknown_adapter_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'guangzhou'.*kermany"):
        read_dataset("guangzhou", tmp_path, "train")
    with pytest.raises(DataError, match="is no folder"):
        read_dataset("kermany", tmp_path / "missing", "train")


def test_the_digest_names_the_content_and_not_the_place(tmp_path: Path) -> None:
    here = write_kermany(tmp_path / "here", "train", images_per_class=2)
    there = write_kermany(tmp_path / "there", "train", images_per_class=2)
    digest = data_digest(read_dataset("kermany", here, "train"))

    assert data_digest(read_dataset("kermany", there, "train")) == digest
    with (there / "train" / "NORMAL" / "IM-0001-0001.jpeg").open("ab") as file:
        file.write(b"\0")
    assert data_digest(read_dataset("kermany", there, "train")) != digest


@pytest.mark.data
def test_the_real_data_set_has_its_published_size(data_dir: Path) -> None:
    sizes = {s: len(read_dataset("kermany", data_dir, s).table) for s in OFFICIAL}

    assert sizes == {"train": 5216, "test": 624}
