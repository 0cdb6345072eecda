from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch, write_xlsx
from training.datasets import read_dataset
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

BOTH = ["tb-chest", "tuberculosis-pk"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    touch(tmp_path, "Tuberculosis/Tuberculosis-1.png", "Normal/Normal-1.png")
    return tmp_path


@pytest.mark.parametrize("adapter", BOTH)
def test_every_image_has_its_label_and_is_its_own_patient(home: Path, adapter: str) -> None:
    table = read_dataset(adapter, home, "train").table

    assert by_path(table, "label") == {
        "Tuberculosis/Tuberculosis-1.png": "tuberculosis",
        "Normal/Normal-1.png": "normal",
    }
    assert table["patient"].is_unique
    assert read_dataset(adapter, home, "test").table.empty


@pytest.mark.parametrize("adapter", BOTH)
def test_an_unknown_and_an_empty_class_are_named(home: Path, adapter: str) -> None:
    (home / "Normal" / "Normal-1.png").unlink()

    with pytest.raises(EmptyClass, match="Normal holds no image"):
        read_dataset(adapter, home, "train")
    touch(home, "Silicosis/1.png")
    with pytest.raises(UnknownLabel, match="class Silicosis"):
        read_dataset(adapter, home, "train")


def test_rahmans_normals_may_be_missing_and_those_from_pakistan_not(tmp_path: Path) -> None:
    touch(tmp_path, "Tuberculosis/Tuberculosis-1.png")

    assert len(read_dataset("tb-chest", tmp_path, "train").table) == 1
    with pytest.raises(LayoutMismatch, match="Found Tuberculosis in"):
        read_dataset("tuberculosis-pk", tmp_path, "train")


def test_rahmans_sheets_say_where_an_image_came_from(home: Path) -> None:
    rows = [("Tuberculosis-1", "PNG", "512*512", "https://tbportals.niaid.nih.gov/download-data")]
    columns = ("FILE NAME", "FORMAT", "SIZE", "URL")
    write_xlsx(home / "Tuberculosis.metadata.xlsx", columns, rows)

    table = read_dataset("tb-chest", home, "train").table

    assert table["source"].tolist() == ["tb-chest-tbportals-niaid-nih-gov", "tb-chest"]


@pytest.mark.data
def test_the_real_files_are_all_read(data_dir: Path) -> None:
    rahman = read_dataset("tb-chest", data_dir, "train").table
    pakistan = read_dataset("tuberculosis-pk", data_dir, "train").table

    assert rahman["label"].value_counts().to_dict() == {"tuberculosis": 241}
    assert pakistan["label"].value_counts().to_dict() == {"tuberculosis": 1080, "normal": 318}
