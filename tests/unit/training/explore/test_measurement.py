import hashlib

import numpy as np
import pytest

from contract.errors import CorruptImage
from tests.synthetic import as_png
from training.explore.measurement import measure


def test_gray_levels_are_measured_over_the_whole_image() -> None:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:, 30:] = 200

    measurement, _ = measure(as_png(pixels))

    assert measurement.mean_gray == 100
    assert measurement.contrast == 100
    assert measurement.histogram[0] == measurement.histogram[50] == 0.5
    assert sum(measurement.histogram) == pytest.approx(1)


def test_the_border_is_the_outer_twentieth_of_each_side() -> None:
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[2:-2, 3:-3] = 0

    bright, _ = measure(as_png(pixels))
    dark, _ = measure(as_png(255 - pixels))

    assert (bright.border_gray, bright.border_black) == (255, 0)
    assert (dark.border_gray, dark.border_black) == (0, 1)


def test_sixteen_bits_are_measured_on_the_scale_of_eight() -> None:
    measurement, thumbnail = measure(as_png(np.full((20, 20), 65535, np.uint16)))

    assert measurement.mean_gray == 255
    assert thumbnail.shape == (96, 96)
    assert thumbnail.dtype == np.uint8


def test_a_single_pixel_is_all_border() -> None:
    measurement, _ = measure(as_png(np.full((1, 1), 9, np.uint8)))

    assert measurement.border_gray == 9


def test_the_digest_and_the_size_are_those_of_the_file() -> None:
    data = as_png(np.zeros((20, 30), np.uint8))

    measurement, _ = measure(data)

    assert measurement.sha256 == hashlib.sha256(data).hexdigest()
    assert (measurement.bytes, measurement.rows, measurement.columns) == (len(data), 20, 30)


def test_a_damaged_image_is_refused() -> None:
    with pytest.raises(CorruptImage):
        measure(as_png(np.zeros((20, 30), np.uint8))[:40])
