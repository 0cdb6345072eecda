import numpy as np
import pytest
from PIL import Image

from contract.grayscale import windowing
from contract.pixels import (
    BLOCK_VALUES,
    look_up,
    luma,
    resize,
    row_blocks,
    sample_depth,
    to_uint8,
    widen,
)


# The first two are the Standard's own examples.
@pytest.mark.parametrize(
    ("function", "center", "width", "shares"),
    [
        ("LINEAR", 2048, 4096, {-1: 0, 0: 0, 1: 1 / 4095, 2047.5: 0.5, 4095: 1, 4096: 1}),
        ("LINEAR", 2048, 1, {2047: 0, 2047.5: 0, 2048: 1}),
        ("LINEAR", 0, 100, {-50: 0, -0.5: 0.5, 49: 1, 0: 50 / 99}),
        ("LINEAR_EXACT", 0, 100, {-51: 0, -50: 0, 0: 0.5, 25: 0.75, 50: 1}),
        ("SIGMOID", 40, 100, {40: 0.5, 90: 1 / (1 + np.exp(-2)), -1e9: 0, 1e9: 1}),
    ],
)
def test_a_window_follows_its_formula(
    function: str, center: float, width: float, shares: dict[float, float]
) -> None:
    found = windowing(function, center, width)(np.array(list(shares), np.float64))

    assert found == pytest.approx(list(shares.values()), abs=1e-15)


@pytest.mark.parametrize(
    ("largest", "bits"),
    [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (65535, 16)],
)
def test_the_sample_depth_is_the_smallest_that_holds_the_largest(largest: int, bits: int) -> None:
    assert sample_depth(np.array([0, largest], dtype=np.uint16)) == bits


@pytest.mark.parametrize(("dead", "bits"), [(10, 12), (11, 16)])
def test_one_sample_in_a_thousand_may_be_larger_than_the_depth(dead: int, bits: int) -> None:
    samples = np.full(10_000, 4095, dtype=np.uint16)
    samples[::1000][:dead] = 65535
    samples[1 : 1 + max(0, dead - 10)] = 65535

    assert sample_depth(samples.reshape(2, -1)) == bits


def test_a_table_is_looked_up_in_blocks() -> None:
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    indices = np.resize(np.arange(256, dtype=np.uint8), (3, BLOCK_VALUES))

    entries = look_up(table, indices)

    assert [block.stop - block.start for block in row_blocks(indices)] == [1, 1, 1]
    assert np.array_equal(entries, 255 - indices)


def test_luma_equals_that_of_pillow() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)

    assert np.array_equal(luma(colours), np.asarray(Image.fromarray(colours).convert("L")))


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2"])
@pytest.mark.parametrize("size", [(12, 12), (5, 9), (60, 50)])
def test_resize_is_that_of_pillow(dtype: str, size: tuple[int, int]) -> None:
    large = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (53, 80)).astype(dtype)
    height, width = size

    for pixels in (large, large[3:40, 7:-5], large.T):
        expected = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        assert np.array_equal(resize(pixels, size), np.asarray(expected))


def test_8_bits_differ_from_16_by_rounding_alone() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)

    assert np.array_equal(to_uint8(every), np.rint(every / 257))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_widening_keeps_the_ratio_to_white(bits: int) -> None:
    every = np.arange(2**bits, dtype=np.uint16)

    assert np.array_equal(widen(every, bits), np.rint(every * (65535 / (2**bits - 1))))
