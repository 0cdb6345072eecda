from pathlib import Path

import pytest

from tests.unit.training.datasets.trees import by_path, touch
from training.datasets import read_dataset
from training.datasets.base import COLUMNS
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

FILES = {
    "covid-radiography": {
        "COVID/images/COVID-1.png": "covid-19",
        "Normal/images/Normal-1.png": "normal",
        "Lung_Opacity/images/Lung_Opacity-1.png": "lung-opacity",
        "Viral Pneumonia/images/Viral Pneumonia-1.png": "pneumonia",
    },
    "tb-chest": {
        "Tuberculosis/Tuberculosis-1.png": "tuberculosis",
        "Normal/Normal-1.png": "normal",
    },
    "tuberculosis-pk": {"Tuberculosis/1.png": "tuberculosis", "Normal/1.png": "normal"},
    "sars-cov-2-ct": {
        "COVID/Covid (1).png": "covid-19",
        "non-COVID/Non-Covid (1).png": "other",
    },
}
REAL = {
    "covid-radiography": {"covid-19": 420, "normal": 320, "pneumonia": 60},
    "tb-chest": {"tuberculosis": 241},
    "tuberculosis-pk": {"tuberculosis": 1080, "normal": 318},
    "sars-cov-2-ct": {"covid-19": 62, "other": 62},
}


@pytest.mark.parametrize("adapter", FILES)
def test_every_image_has_its_label_and_is_its_own_patient(tmp_path: Path, adapter: str) -> None:
    touch(tmp_path, *FILES[adapter], "README.md")

    table = read_dataset(adapter, tmp_path, "train").table

    assert by_path(table, "label") == FILES[adapter]
    assert table["patient"].is_unique
    test = read_dataset(adapter, tmp_path, "test").table
    assert test.empty
    assert tuple(test.columns) == COLUMNS


@pytest.mark.parametrize("adapter", FILES)
def test_an_unknown_and_an_empty_class_are_named(tmp_path: Path, adapter: str) -> None:
    touch(tmp_path, *FILES[adapter])
    emptied = tmp_path / next(iter(FILES[adapter]))
    emptied.unlink()

    with pytest.raises(EmptyClass, match=f"{emptied.relative_to(tmp_path).parts[0]} holds no"):
        read_dataset(adapter, tmp_path, "train")
    touch(tmp_path, "Silicosis/1.png")
    with pytest.raises(UnknownLabel, match="class Silicosis"):
        read_dataset(adapter, tmp_path, "train")


def test_the_folder_above_is_as_good(tmp_path: Path) -> None:
    touch(tmp_path / "tuberculosis_pk", *FILES["tuberculosis-pk"])

    assert read_dataset("tuberculosis-pk", tmp_path, "train").root == tmp_path / "tuberculosis_pk"


def test_a_mask_of_the_same_name_goes_with_its_image(tmp_path: Path) -> None:
    touch(tmp_path, *FILES["covid-radiography"], "COVID/masks/COVID-1.png")

    table = read_dataset("covid-radiography", tmp_path, "train").table

    assert table["mask"].tolist() == ["COVID/masks/COVID-1.png", "", "", ""]


@pytest.mark.parametrize(
    ("adapter", "least"), [("covid-radiography", 2), ("tb-chest", 1), ("tuberculosis-pk", 2)]
)
def test_some_collections_are_of_use_without_all_their_classes(
    tmp_path: Path, adapter: str, least: int
) -> None:
    for number, file in enumerate(FILES[adapter]):
        if number < least:
            if number:
                with pytest.raises(LayoutMismatch, match="Found "):
                    read_dataset(adapter, tmp_path, "train")
            touch(tmp_path, file)

    assert len(read_dataset(adapter, tmp_path, "train").table) == least


@pytest.mark.data
@pytest.mark.parametrize("adapter", REAL)
def test_the_real_files_are_all_read(data_dir: Path, adapter: str) -> None:
    table = read_dataset(adapter, data_dir, "train").table

    assert table["label"].value_counts().to_dict() == REAL[adapter]
