from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.enhancement import Enhancement, centre_brightness, enhance, equalise_locally
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from tests.synthetic import as_png, synthetic_radiograph


def slow_clahe(plane: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pixel by pixel, as the paper tells it."""
    height, width = plane.shape[0] // 8, plane.shape[1] // 8
    limit = 2 * height * width / 256

    @cache
    def curve(down: int, across: int) -> list[float]:
        down, across = min(max(down, 0), 7), min(max(across, 0), 7)
        tile = plane[down * height : (down + 1) * height, across * width : (across + 1) * width]
        counts = [float((tile == gray).sum()) for gray in range(256)]
        excess = sum(max(count - limit, 0) for count in counts) / 256
        dealt = [min(count, limit) + excess for count in counts]
        return [sum(dealt[: gray + 1]) * 255 / tile.size for gray in range(256)]

    result = np.zeros(plane.shape)
    for (row, column), gray in np.ndenumerate(plane):
        y, x = (row + 0.5) / height - 0.5, (column + 0.5) / width - 0.5
        top, left = int(np.floor(y)), int(np.floor(x))
        for down in (0, 1):
            for across in (0, 1):
                share = (1 - abs(y - top - down)) * (1 - abs(x - left - across))
                result[row, column] += share * curve(top + down, left + across)[gray]
    return result


def test_local_equalisation_is_that_of_the_paper() -> None:
    plane = synthetic_radiograph(32, 24)

    difference = equalise_locally(plane) - slow_clahe(plane)

    assert np.abs(difference).max() <= 0.51


def test_local_equalisation_brings_out_faint_detail_in_a_dark_corner() -> None:
    plane = np.full((64, 64), 200, np.uint8)
    plane[:16, :16] = np.random.default_rng(0).integers(20, 36, (16, 16))

    enhanced = equalise_locally(plane)

    assert enhanced[2:12, 2:12].std() > 2 * plane[2:12, 2:12].std()
    assert enhanced.shape == plane.shape


@pytest.mark.parametrize("shape", [(8, 8), (37, 53), (9, 100)])
def test_sides_need_not_be_multiples_of_the_tiles(shape: tuple[int, int]) -> None:
    assert equalise_locally(np.full(shape, 90, np.uint8)).shape == shape


@pytest.mark.parametrize("gray", [40, 100, 190])
def test_brightness_is_brought_to_the_middle(gray: int) -> None:
    plane = np.full((8, 8), gray, np.uint8)

    assert np.abs(centre_brightness(plane).astype(int) - 128).max() <= 10


def test_brightness_leaves_black_and_white_alone() -> None:
    plane = np.array([[0, 10, 255]], np.uint8)

    enhanced = centre_brightness(plane)

    assert enhanced[0, 0] == 0
    assert enhanced[0, 2] == 255


@pytest.mark.parametrize("gray", [0, 255])
@pytest.mark.parametrize("enhancement", ["clahe", "gamma"])
def test_a_blank_image_stays_even(gray: int, enhancement: Enhancement) -> None:
    enhanced = enhance(np.full((16, 16), gray, np.uint8), enhancement)

    assert np.ptp(enhanced) == 0


@pytest.mark.parametrize("enhancement", ["clahe", "gamma"])
def test_what_a_model_takes_is_enhanced_after_the_resize(enhancement: Enhancement) -> None:
    radiograph = decode(as_png(synthetic_radiograph(100, 80)))
    plain = preprocess(radiograph, PreprocessingSpec(height=48, width=40))

    enhanced = preprocess(
        radiograph, PreprocessingSpec(height=48, width=40, enhancement=enhancement)
    )

    assert np.array_equal(enhanced[..., 0], enhance(plain[..., 0], enhancement))
    assert not np.array_equal(enhanced, plain)


def test_an_enhancement_is_told_in_words() -> None:
    plain, enhanced = (
        PreprocessingSpec(height=48, width=40, enhancement=name).words for name in ("none", "clahe")
    )

    assert plain == "gray, 40 by 48 pixels, uint8"
    assert enhanced == "gray, 40 by 48 pixels, uint8, enhanced by clahe"


def test_a_specification_without_the_field_enhances_nothing() -> None:
    spec = PreprocessingSpec.model_validate_json('{"height": 48, "width": 64}')
    plane = synthetic_radiograph(48, 64)

    assert spec == PreprocessingSpec(height=48, width=64)
    assert enhance(plane, spec.enhancement) is plane
