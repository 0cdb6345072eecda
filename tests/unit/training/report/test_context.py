from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import as_png
from tests.unit.training.report.planted import IMAGES, ContextOf
from training.report.context import Images, find_lungs

SIZE = (16, 16)
BLANK = np.zeros((4, *SIZE, 1), np.uint8)


def test_a_sample_keeps_the_share_of_each_class_of_each_source(context_of: ContextOf) -> None:
    sources = np.where(np.arange(IMAGES) < 40, "large", "small")
    context = context_of("inside", "inside", sources=sources)

    rows = context.sample(15)

    assert len(np.unique(rows)) == 15
    assert (sources[rows] == "large").sum() == 10
    assert abs((context.predictions.classes[rows] == 1).sum() - 7.5) < 1
    assert (rows == context.sample(15)).all()
    assert (rows != replace(context, seed=1).sample(15)).any()


def test_a_sample_that_may_be_larger_than_the_set_is_the_set(context_of: ContextOf) -> None:
    assert context_of("inside", "inside").sample(1000).tolist() == list(range(IMAGES))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    left_half = np.zeros((64, 64), np.uint8)
    left_half[:, :32] = 1
    (tmp_path / "ones.png").write_bytes(as_png(left_half))
    (tmp_path / "full.png").write_bytes(as_png(left_half * 255))
    (tmp_path / "damaged.png").write_bytes(as_png(left_half)[:40])
    return tmp_path


def everything(images: Images) -> np.typing.NDArray[np.bool_]:
    return np.ones(images.shape[:3], dtype=bool)


@pytest.mark.parametrize("name", ["ones.png", "full.png"])
def test_a_mask_is_read_in_the_size_of_the_image_whatever_its_white_is(
    root: Path, name: str
) -> None:
    lungs = find_lungs(BLANK, ["", name, "", ""], root)

    assert lungs.rows.tolist() == [1]
    assert lungs.masks.shape == (1, *SIZE)
    assert lungs.masks[0, :, :8].all()
    assert not lungs.masks[0, :, 8:].any()


def test_a_mask_that_cannot_be_read_is_left_out(root: Path) -> None:
    lungs = find_lungs(BLANK, ["damaged.png", "missing.png", "full.png", ""], root)

    assert lungs.rows.tolist() == [2]


def test_a_segmenter_finds_the_lungs_where_there_is_no_mask(root: Path) -> None:
    lungs = find_lungs(BLANK, ["", "full.png", "", ""], root, segment=everything)

    assert lungs.rows.tolist() == [0, 1, 2, 3]
    assert [mask.all() for mask in lungs.masks] == [True, False, True, True]


def test_without_masks_and_segmenter_there_are_no_lungs(root: Path) -> None:
    lungs = find_lungs(BLANK, [""] * 4, root)

    assert len(lungs.rows) == 0
    assert lungs.masks.shape == (0, *SIZE)
