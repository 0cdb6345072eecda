import numpy as np
import pytest

from tests.lung_data import tiny_segmenter
from training.lungs.dice import dice
from training.lungs.network import LUNG_MASK, build_segmenter, overlap_loss, with_mask_output

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 1), dtype=np.uint8)


def test_every_pixel_gets_a_probability() -> None:
    wide = tiny_segmenter(preprocessing={"width": 48})

    outputs = with_mask_output(build_segmenter(wide))(IMAGES)

    mask = np.asarray(outputs[LUNG_MASK])
    assert list(outputs) == ["lung_mask"]
    assert mask.shape == (3, 32, 48, 1)
    assert mask.dtype == np.float32
    assert 0 <= mask.min() < mask.max() <= 1


def test_exposure_hardly_changes_the_mask() -> None:
    model = with_mask_output(build_segmenter(tiny_segmenter(preprocessing={"width": 48})))
    chests = IMAGES // 2

    bright, dark = (np.asarray(model(grays)[LUNG_MASK]) for grays in (chests + 100, chests))

    np.testing.assert_allclose(bright, dark, atol=1e-3)


def test_the_loss_is_least_where_the_mask_is_right() -> None:
    truth = np.zeros((2, 4, 4, 1), np.float32)
    truth[:, :2] = 1
    sure = (truth * 2 - 1) * 20

    right, unsure, wrong = (np.asarray(overlap_loss(truth, x)) for x in (sure, 0 * sure, -sure))

    assert right.shape == (2,)
    assert right == pytest.approx([0, 0], abs=1e-3)
    assert (right < unsure).all()
    assert (unsure < wrong).all()


def test_dice_counts_what_two_masks_share() -> None:
    truth = np.array([[1, 1, 0, 0]], bool)
    found = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 1, 1]], [[1, 0, 0, 0]]], bool)

    values = dice(found, truth)

    assert values.tolist() == pytest.approx([1, 0.5, 0, 2 / 3])


def test_two_empty_masks_agree() -> None:
    nothing = np.zeros((2, 2), bool)

    assert dice(nothing, nothing) == 1
