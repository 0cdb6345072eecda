import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from training.acquisition_shifts import ACQUISITION_SHIFTS, shifted
from training.augmentation import augment, exposure_table, mixup
from training.config import AugmentationConfig

STRONG = AugmentationConfig(
    flip_probability=0.5,
    rotation_degrees=20,
    scale=0.3,
    aspect=0.2,
    crop=0.2,
    shear=0.2,
    shift=0.2,
    blur_probability=0.5,
    gamma=0.8,
    contrast=0.8,
    brightness=0.3,
    tone_probability=0.5,
    degrade_probability=0.7,
    noise_probability=0.5,
    noise_sigma=20,
    erase_probability=0.7,
    mixup_alpha=0.4,
)

RADIOGRAPH = synthetic_radiograph(40, 56, opacity=0.5)


def changed(config: AugmentationConfig, seed: int = 0) -> NDArray[np.uint8]:
    return augment(RADIOGRAPH, np.random.default_rng(seed), config)


@given(seed=st.integers(0, 10_000))
def test_shape_and_type_stay_and_the_given_image_too(seed: int) -> None:
    before = RADIOGRAPH.copy()

    image = changed(STRONG, seed)

    assert image.shape == RADIOGRAPH.shape
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(RADIOGRAPH, before)


def test_the_generator_decides_everything() -> None:
    np.testing.assert_array_equal(changed(STRONG, seed=7), changed(STRONG, seed=7))
    assert (changed(STRONG, seed=7) != changed(STRONG, seed=8)).any()


def test_nothing_asked_for_is_nothing_changed() -> None:
    np.testing.assert_array_equal(changed(AugmentationConfig()), RADIOGRAPH)


def test_no_strength_leaves_only_the_flip() -> None:
    still = STRONG.model_copy(update={"strength": 0, "flip_probability": 1})

    np.testing.assert_array_equal(changed(still), RADIOGRAPH[:, ::-1])


@pytest.mark.parametrize(
    "field",
    ["rotation_degrees", "scale", "aspect", "shear", "shift", "crop", "gamma", "contrast"],
)
def test_each_amount_changes_the_image(field: str) -> None:
    assert (changed(AugmentationConfig.model_validate({field: 0.3})) != RADIOGRAPH).any()


@pytest.mark.parametrize("kind", ["blur", "tone", "degrade", "noise", "erase", "flip"])
def test_each_probability_of_one_changes_the_image(kind: str) -> None:
    config = AugmentationConfig.model_validate({f"{kind}_probability": 1})

    assert (changed(config) != RADIOGRAPH).any()


@given(seed=st.integers(0, 10_000))
def test_exposure_never_turns_bright_into_dark(seed: int) -> None:
    table = exposure_table(np.random.default_rng(seed), STRONG)

    assert (np.diff(table.astype(int)) >= 0).all()


def test_mixup_blends_images_and_targets_alike() -> None:
    images = np.stack([np.zeros((4, 4, 1), np.uint8), np.full((4, 4, 1), 200, np.uint8)])
    targets = np.eye(2, dtype=np.float32)

    blended, blended_targets = mixup(images, targets, np.random.default_rng(1), alpha=1.0)

    assert blended.dtype == np.uint8
    np.testing.assert_allclose(blended_targets.sum(axis=1), 1)
    np.testing.assert_allclose(blended[:, 0, 0, 0] / 200, blended_targets[:, 1], atol=0.01)
    assert 0 < blended_targets[1, 0] <= 0.5


@pytest.mark.parametrize("name", ACQUISITION_SHIFTS)
def test_an_acquisition_shift_changes_all_images_alike(name: str) -> None:
    images = np.stack([RADIOGRAPH, RADIOGRAPH])[..., np.newaxis]

    result = shifted(images, name)

    assert result.shape == images.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[0], result[1])
    assert (result != images).any() == (name != "none")
