import numpy as np
import pytest

from tests.synthetic import synthetic_radiograph
from training.degradations import (
    DEGRADATIONS,
    Degradation,
    blurred,
    brightened,
    cornered,
    darkened,
    degraded,
    framed,
    inverted,
    noisy,
    rotated,
)

PLANE = synthetic_radiograph(64, 48)


def seeded() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("fault", DEGRADATIONS, ids=lambda fault: fault.name)
def test_every_fault_changes_the_image_least_at_its_first_level(fault: Degradation) -> None:
    before = PLANE.copy()

    changes = [
        np.abs(fault.apply(PLANE, level, seeded()).astype(int) - PLANE).mean()
        for level in fault.levels
    ]

    assert list(fault.levels) == sorted(fault.levels)
    assert 0 < changes[0] == min(changes)
    assert (before == PLANE).all()


@pytest.mark.parametrize("fault", DEGRADATIONS, ids=lambda fault: fault.name)
def test_every_fault_keeps_shape_and_dtype(fault: Degradation) -> None:
    images = np.stack([PLANE, PLANE])[..., np.newaxis]

    faulty = degraded(images, fault, fault.levels[0], seeded())

    assert faulty.shape == images.shape
    assert faulty.dtype == np.uint8


def test_exposure_halves_and_doubles_the_grays() -> None:
    grays = np.array([[0, 40, 100, 200]], np.uint8)

    assert darkened(grays, 2, seeded()).tolist() == [[0, 10, 25, 50]]
    assert brightened(grays, 1, seeded()).tolist() == [[0, 80, 200, 255]]


def test_a_corner_fills_the_picture() -> None:
    quarters = np.array([[10, 60], [120, 240]], np.uint8).repeat(32, axis=0).repeat(32, axis=1)

    corners = {
        tuple(np.unique(cornered(quarters, 0.5, np.random.default_rng(n)))) for n in range(40)
    }

    assert corners == {(10,), (60,), (120,), (240,)}


def test_a_frame_is_black_and_holds_the_whole_picture() -> None:
    inside = framed(np.full((40, 40), 99, np.uint8), 0.5, seeded())

    assert (inside[10:30, 10:30] == 99).all()
    assert inside.sum() == 99 * 400


def test_a_turn_goes_to_either_side() -> None:
    square = synthetic_radiograph(40, 40)

    turns = [rotated(square, 90, np.random.default_rng(n)) for n in range(9)]

    assert all(any((turn == np.rot90(square, times)).all() for times in (1, 3)) for turn in turns)
    assert any((turns[0] != turn).any() for turn in turns)


def test_inversion_swaps_black_and_white() -> None:
    assert (inverted(PLANE, 1, seeded()) == 255 - PLANE).all()


def test_noise_has_the_asked_for_strength_and_blur_takes_it_away() -> None:
    gray = np.full((200, 200), 128, np.uint8)

    noise = noisy(gray, 20, seeded())

    assert noise.std() == pytest.approx(20, rel=0.05)
    assert blurred(noise, 2, seeded()).std() < 5
