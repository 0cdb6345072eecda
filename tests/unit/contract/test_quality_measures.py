import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contract import quality_measures as measures
from tests.synthetic import synthetic_radiograph

RADIOGRAPH = synthetic_radiograph(192, 192)


def row(*grays: int) -> measures.Grays:
    return measures.grays(np.array([grays], np.uint8))


def sharpness(image: NDArray[np.uint8]) -> float:
    return measures.sharpness(measures.changes(image))


def noise(image: NDArray[np.uint8], spread: float) -> float:
    return measures.noise(measures.changes(image), spread)


def ramp(step: int) -> NDArray[np.uint8]:
    return np.add.outer(np.arange(20), np.arange(20)).astype(np.uint8) * np.uint8(step)


def blurred(image: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def with_noise(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_the_outer_eighth_of_each_side_is_left_out() -> None:
    image = np.arange(16 * 24, dtype=np.int64).reshape(16, 24).astype(np.uint8)

    assert (measures.inside(image) == image[2:14, 3:21]).all()


def test_exposure_is_the_mean_gray() -> None:
    assert measures.exposure(row(0, 0)) == 0
    assert measures.exposure(row(255, 255)) == 1
    assert measures.exposure(row(0, 51, 102)) == pytest.approx(0.2)


def test_contrast_is_the_standard_deviation() -> None:
    grays = [0, 10, 200, 255, 255]

    assert measures.contrast(row(*grays)) == pytest.approx(np.std(grays) / 255)
    assert measures.contrast(row(77, 77, 77)) == 0
    assert measures.contrast(row(0, 255)) == pytest.approx(0.5)


def test_clipping_counts_what_is_next_to_black_and_to_white() -> None:
    assert measures.clipping(row(0, 2, 250, 255)) == 1
    assert measures.clipping(row(3, 249)) == 0
    assert measures.clipping(row(0, 100, 100, 100)) == 0.25


def test_a_ramp_has_a_quarter_of_the_sharpness_of_noise() -> None:
    random = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)

    assert sharpness(ramp(3)) == pytest.approx(0.25)
    assert sharpness(random) == pytest.approx(1, abs=0.01)


def test_a_flat_image_has_neither_sharpness_nor_noise() -> None:
    flat = np.full((20, 20), 90, np.uint8)

    assert sharpness(flat) == 0
    assert noise(flat, spread=0) == 0


def test_sharpness_falls_with_every_blur_and_not_with_exposure_or_contrast() -> None:
    radii = (0.5, 1, 2, 4)

    found = [sharpness(blurred(RADIOGRAPH, radius)) for radius in radii]

    assert found == sorted(found, reverse=True)
    assert found[0] > 1.1 * found[-1]
    assert sharpness(RADIOGRAPH // 2 + 60) == pytest.approx(sharpness(RADIOGRAPH), rel=0.05)


@pytest.mark.parametrize("sigma", [5, 15, 30])
def test_the_noise_of_a_gray_picture_is_found(sigma: float) -> None:
    noisy = with_noise(np.full((192, 192), 128, np.uint8), sigma)

    assert noise(noisy, spread=1) == pytest.approx(sigma / 255, rel=0.05)


def test_a_ramp_is_no_noise() -> None:
    assert noise(ramp(6), spread=0.2) == 0


def test_noise_counts_against_the_contrast() -> None:
    noisy = with_noise(RADIOGRAPH, 10)

    assert noise(noisy, spread=0.1) == pytest.approx(2 * noise(noisy, spread=0.2))


def test_the_largest_changes_do_not_overflow() -> None:
    checkered = (np.indices((64, 48)).sum(axis=0) % 2 * 255).astype(np.uint8)

    assert measures.changes(checkered) == (2 * 255, 0, 8 * 255)


@pytest.mark.parametrize("frame", [0, 10, 25])
def test_a_black_frame_is_measured_by_its_area(frame: int) -> None:
    image = np.zeros((200, 200), np.uint8)
    image[frame : 200 - frame, frame : 200 - frame] = 140
    one_side = np.zeros((200, 200), np.uint8)
    one_side[:, 2 * frame :] = 140

    assert measures.collimation(image) == pytest.approx(1 - (1 - frame / 100) ** 2)
    assert measures.collimation(one_side) == pytest.approx(frame / 100)


def test_a_marker_in_the_frame_is_still_frame() -> None:
    image = np.zeros((200, 200), np.uint8)
    image[40:, :] = 140
    image[10:20, 10:16] = 255

    assert measures.collimation(image) == pytest.approx(0.2)


def test_a_black_image_is_all_frame_and_a_dark_one_is_not() -> None:
    assert measures.collimation(np.zeros((64, 64), np.uint8)) == 1
    assert measures.collimation(np.full((64, 64), 2, np.uint8)) == 0


def test_a_row_as_dark_as_the_limit_is_frame() -> None:
    image = np.full((8, 8), 9, np.uint8)
    image[0] = 1
    # The mean of all is eight times the mean of the first row.
    assert measures.collimation(image) == 1 / 8
