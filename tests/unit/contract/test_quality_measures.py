import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contract.quality import (
    MEASURES,
    CheckName,
    Limit,
    QualityLimits,
    Template,
    Templates,
    assess,
    judge,
    measure,
    measure_pixels,
)
from tests.synthetic import synthetic_radiograph

RADIOGRAPH = synthetic_radiograph(192, 192)


def value(name: CheckName, image: NDArray[np.uint8]) -> float:
    return float(measure_pixels(image)[MEASURES.index(name)])


def ramp(step: int) -> NDArray[np.uint8]:
    return np.add.outer(np.arange(20), np.arange(20)).astype(np.uint8) * np.uint8(step)


def blurred(image: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def with_noise(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_the_outer_eighth_of_each_side_is_left_out() -> None:
    marked = RADIOGRAPH.copy()
    marked[:24] = marked[-24:] = 255
    marked[:, :24] = marked[:, -24:] = 255

    inside = [name for name in MEASURES if name != "collimation"]
    assert all(value(name, marked) == value(name, RADIOGRAPH) for name in inside)


def test_clipping_counts_what_is_next_to_black_and_to_white() -> None:
    image = np.full((8, 8), 3, np.uint8)
    image[1:7, 1:7] = np.resize([0, 2, 250, 255, 3, 249], (6, 6))

    assert value("clipping", image) == 4 / 6


def test_a_ramp_has_a_quarter_of_the_sharpness_of_noise() -> None:
    random = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)

    assert value("sharpness", ramp(3)) == pytest.approx(0.25)
    assert value("sharpness", random) == pytest.approx(1, abs=0.01)


def test_a_flat_image_has_neither_sharpness_nor_noise() -> None:
    flat = np.full((20, 20), 90, np.uint8)

    assert value("sharpness", flat) == value("noise", flat) == value("contrast", flat) == 0


def test_sharpness_falls_with_every_blur_and_not_with_exposure_or_contrast() -> None:
    found = [value("sharpness", blurred(RADIOGRAPH, radius)) for radius in (0.5, 1, 2, 4)]

    assert found == sorted(found, reverse=True)
    assert found[0] > 1.1 * found[-1]
    assert value("sharpness", RADIOGRAPH // 2 + 60) == pytest.approx(
        value("sharpness", RADIOGRAPH), rel=0.05
    )


@pytest.mark.parametrize("sigma", [5, 15, 30])
def test_the_noise_of_a_gray_picture_is_all_of_its_contrast(sigma: float) -> None:
    noisy = with_noise(np.full((192, 192), 128, np.uint8), sigma)

    assert value("noise", noisy) == pytest.approx(1, rel=0.05)
    assert value("contrast", noisy) == pytest.approx(sigma / 255, rel=0.05)


def test_a_ramp_is_no_noise() -> None:
    assert value("noise", ramp(6)) == 0


def test_the_largest_changes_do_not_overflow() -> None:
    checkered = (np.indices((64, 48)).sum(axis=0) % 2 * 255).astype(np.uint8)

    # The second difference is eight times the range, the deviation half of it.
    assert value("noise", checkered) == pytest.approx(16 * np.sqrt(np.pi / 2) / 6)


@pytest.mark.parametrize("frame", [0, 10, 25])
def test_a_black_frame_is_measured_by_its_area(frame: int) -> None:
    image = np.zeros((200, 200), np.uint8)
    image[frame : 200 - frame, frame : 200 - frame] = 140
    one_side = np.zeros((200, 200), np.uint8)
    one_side[:, 2 * frame :] = 140

    assert value("collimation", image) == pytest.approx(1 - (1 - frame / 100) ** 2)
    assert value("collimation", one_side) == pytest.approx(frame / 100)


def test_a_marker_in_the_frame_is_still_frame() -> None:
    image = np.zeros((200, 200), np.uint8)
    image[40:, :] = 140
    image[10:20, 10:16] = 255

    assert value("collimation", image) == pytest.approx(0.2)


def test_a_black_image_is_all_frame_and_a_dark_one_is_not() -> None:
    assert value("collimation", np.zeros((64, 64), np.uint8)) == 1
    assert value("collimation", np.full((64, 64), 2, np.uint8)) == 0


def test_a_row_as_dark_as_the_limit_is_frame() -> None:
    image = np.full((8, 8), 9, np.uint8)
    image[0] = 1
    # The mean of all is eight times the mean of the first row.
    assert value("collimation", image) == 1 / 8


def test_measures_of_a_graph_are_judged_as_those_made_here() -> None:
    position = Templates(
        side=2, templates=(Template(fault="rotation", bias=0, weights=(1, 0, 0, -1)),)
    )
    limits = QualityLimits(
        limits=(
            Limit(check="rotation", upper=0.4),
            Limit(check="aspect", upper=2),
            Limit(check="noise", upper=0.2),
        ),
        position=position,
    )
    measured = measure_pixels(RADIOGRAPH, position)

    judged = judge(measured.astype(np.float32), 100, 300, limits)

    assessed = assess(RADIOGRAPH[..., np.newaxis], 100, 300, limits)
    assert [check.name for check in judged.failed] == [check.name for check in assessed.failed]
    assert [check.value for check in judged.checks] == pytest.approx(
        [check.value for check in assessed.checks], rel=1e-6
    )


def test_what_is_measured_is_named_in_the_order_of_the_measures() -> None:
    named = measure(RADIOGRAPH, 10, 10, None)

    assert [named[name] for name in MEASURES[:6]] == measure_pixels(RADIOGRAPH)[:6].tolist()
