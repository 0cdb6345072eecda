import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from training.config import AugmentationConfig
from training.transforms import (
    ACQUISITION_SHIFTS,
    CORRUPTIONS,
    Corruption,
    augment,
    blurred,
    brightened,
    cornered,
    corrupted,
    darkened,
    exposure_table,
    framed,
    noisy,
    rotated,
    shifted,
)

STRONG = AugmentationConfig(
    flip_probability=0.5,
    rotation_degrees=20,
    scale=0.3,
    aspect=0.2,
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


def test_the_generator_and_the_amounts_decide_everything() -> None:
    np.testing.assert_array_equal(changed(STRONG, seed=7), changed(STRONG, seed=7))
    assert (changed(STRONG, seed=7) != changed(STRONG, seed=8)).any()
    np.testing.assert_array_equal(changed(AugmentationConfig()), RADIOGRAPH)
    # No strength leaves the flip alone.
    still = STRONG.model_copy(update={"strength": 0, "flip_probability": 1})
    np.testing.assert_array_equal(changed(still), RADIOGRAPH[:, ::-1])


@pytest.mark.parametrize(
    ("field", "amount"),
    [
        *((name, 0.3) for name in ("rotation_degrees", "scale", "aspect", "shear", "shift")),
        *((name, 0.3) for name in ("gamma", "contrast")),
        *((f"{kind}_probability", 1) for kind in ("blur", "tone", "degrade")),
        *((f"{kind}_probability", 1) for kind in ("noise", "erase", "flip")),
    ],
)
def test_each_amount_changes_the_image(field: str, amount: float) -> None:
    assert (changed(AugmentationConfig.model_validate({field: amount})) != RADIOGRAPH).any()


@given(seed=st.integers(0, 10_000))
def test_exposure_never_turns_bright_into_dark(seed: int) -> None:
    table = exposure_table(np.random.default_rng(seed), STRONG)

    assert (np.diff(table.astype(int)) >= 0).all()


@pytest.mark.parametrize("name", ACQUISITION_SHIFTS)
def test_an_acquisition_shift_changes_all_images_alike(name: str) -> None:
    images = np.stack([RADIOGRAPH, RADIOGRAPH])[..., np.newaxis]

    result = shifted(images, name)

    assert result.shape == images.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[0], result[1])
    assert (result != images).any() == (name != "none")


PLANE = synthetic_radiograph(64, 48)


def seeded() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("fault", CORRUPTIONS, ids=lambda fault: fault.name)
def test_every_fault_changes_the_image_least_at_its_first_level(fault: Corruption) -> None:
    before = PLANE.copy()

    changes = [
        np.abs(fault.apply(PLANE, level, seeded()).astype(int) - PLANE).mean()
        for level in fault.levels
    ]

    images = np.stack([PLANE, PLANE])[..., np.newaxis]
    faulty = corrupted(images, fault, fault.levels[0], seeded())
    assert faulty.shape == images.shape
    assert faulty.dtype == np.uint8
    assert list(fault.levels) == sorted(fault.levels)
    assert 0 < changes[0] == min(changes)
    assert (before == PLANE).all()


def test_exposure_halves_and_doubles_the_grays_and_blur_takes_noise_away() -> None:
    grays = np.array([[0, 40, 100, 200]], np.uint8)
    noise = noisy(np.full((200, 200), 128, np.uint8), 20, seeded())

    assert darkened(grays, 2, seeded()).tolist() == [[0, 10, 25, 50]]
    assert brightened(grays, 1, seeded()).tolist() == [[0, 80, 200, 255]]
    assert noise.std() == pytest.approx(20, rel=0.05)
    assert blurred(noise, 2, seeded()).std() < 5


def test_a_corner_fills_the_picture_and_a_frame_holds_it() -> None:
    quarters = np.array([[10, 60], [120, 240]], np.uint8).repeat(32, axis=0).repeat(32, axis=1)

    corners = {
        tuple(np.unique(cornered(quarters, 0.5, np.random.default_rng(n)))) for n in range(40)
    }

    assert corners == {(10,), (60,), (120,), (240,)}
    # A frame is black and holds the whole picture.
    inside = framed(np.full((40, 40), 99, np.uint8), 0.5, seeded())
    assert (inside[10:30, 10:30] == 99).all()
    assert inside.sum() == 99 * 400


def test_a_turn_goes_to_either_side() -> None:
    square = synthetic_radiograph(40, 40)

    turns = [rotated(square, 90, np.random.default_rng(n)) for n in range(9)]

    assert all(any((turn == np.rot90(square, times)).all() for times in (1, 3)) for turn in turns)
    assert any((turns[0] != turn).any() for turn in turns)
