import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.lung_data import SIDE, synthetic_lungs, tiny_segmenter, write_covid_chestxray
from training.errors import DataError, LayoutMismatch
from training.lungs.dataset import (
    list_lung_images,
    load_lung_images,
    mask_digest,
    read_mask,
)

SPEC = tiny_segmenter().preprocessing


def test_every_radiograph_with_a_mask_is_listed(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=3)
    (home / "lung_masks" / "chest-1.png").unlink()

    table = list_lung_images(tmp_path).table

    assert list(table["path"]) == ["images/chest-0.png", "images/chest-2.png"]
    assert list(table["mask"]) == ["lung_masks/chest-0.png", "lung_masks/chest-2.png"]
    assert list(table.index) == [0, 1]


def test_a_copy_without_masks_says_where_they_are(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path)
    shutil.rmtree(home / "lung_masks")

    with pytest.raises(LayoutMismatch, match="v7labs/covid-19-xray-dataset"):
        list_lung_images(home)


def test_images_and_masks_are_fitted_to_the_network(tmp_path: Path) -> None:
    source = load_lung_images(list_lung_images(write_covid_chestxray(tmp_path, 2)), SPEC)

    assert source.images.shape == source.masks.shape == (2, 32, 32, 1)
    assert source.images.dtype == source.masks.dtype == np.uint8
    assert (source.masks / 255).mean() == pytest.approx(synthetic_lungs().mean(), abs=0.02)


def test_what_is_marked_beside_the_lungs_is_no_lung(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=1)

    mask = read_mask(home / "lung_masks" / "chest-0.png")

    assert mask.shape == (SIDE, SIDE)
    assert np.array_equal(mask, synthetic_lungs())


def test_what_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=3)
    (home / "images" / "chest-0.png").write_bytes(b"not an image")

    source = load_lung_images(list_lung_images(home), SPEC)

    assert list(source.unreadable) == ["images/chest-0.png"]
    assert list(source.dataset.table["path"]) == ["images/chest-1.png", "images/chest-2.png"]
    assert list(source.dataset.table.index) == [0, 1]
    assert len(source.images) == len(source.masks) == 2


def test_masks_none_of_which_can_be_read_are_refused(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=2)
    for mask in (home / "lung_masks").iterdir():
        mask.write_bytes(b"not an image")

    with pytest.raises(DataError, match="None of the 2"):
        load_lung_images(list_lung_images(home), SPEC)


def test_another_mask_is_another_data_set(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=2)
    before = mask_digest(list_lung_images(home))
    shutil.copy(home / "images" / "chest-0.png", home / "lung_masks" / "chest-0.png")

    assert mask_digest(list_lung_images(home)) != before


@pytest.mark.data
def test_the_real_masks_are_of_adults_seen_from_the_front(data_dir: Path) -> None:
    dataset = list_lung_images(data_dir)

    assert len(dataset.table) == 116
    shares = [read_mask(dataset.root / mask).mean() for mask in dataset.table["mask"][:20]]
    assert min(shares) > 0.15
    assert max(shares) < 0.7
