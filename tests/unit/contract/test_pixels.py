import numpy as np
import pytest
from PIL import Image

from contract.grayscale import windowing
from contract.pixels import (
    BLOCK_VALUES,
    look_up,
    luma,
    over_black,
    resize,
    row_blocks,
    sample_depth,
    stretch,
    to_full_scale,
    to_uint8,
    widen,
)


# PS3.3 C.11.2.1.2.1 gives c=2048, w=4096 as an example: black up to 0, white above 4095.
@pytest.mark.parametrize(
    ("value", "share"), [(-1, 0), (0, 0), (1, 1 / 4095), (2047.5, 0.5), (4095, 1), (4096, 1)]
)
def test_a_linear_window_follows_the_example_of_the_standard(value: float, share: float) -> None:
    assert windowing("LINEAR", 2048, 4096)(np.array([value]))[0] == pytest.approx(share, abs=1e-15)


# Its second example, c=2048, w=1: black up to 2047.5, white above.
@pytest.mark.parametrize(("value", "share"), [(2047, 0), (2047.5, 0), (2048, 1)])
def test_a_linear_window_of_width_1_is_a_threshold(value: float, share: float) -> None:
    assert windowing("LINEAR", 2048, 1)(np.array([value]))[0] == share


# c=0, w=100 as the Standard has it: black up to -50, white above 49.
@pytest.mark.parametrize(("value", "share"), [(-50, 0), (-0.5, 0.5), (49, 1), (0, 50 / 99)])
def test_a_linear_window_is_one_value_narrower_than_its_width(value: float, share: float) -> None:
    assert windowing("LINEAR", 0, 100)(np.array([value]))[0] == pytest.approx(share)


@pytest.mark.parametrize(("value", "share"), [(-51, 0), (-50, 0), (0, 0.5), (25, 0.75), (50, 1)])
def test_a_linear_exact_window_is_as_wide_as_it_says(value: float, share: float) -> None:
    assert windowing("LINEAR_EXACT", 0, 100)(np.array([value]))[0] == pytest.approx(share)


@pytest.mark.parametrize(
    ("value", "share"), [(40, 0.5), (90, 1 / (1 + np.exp(-2))), (-1e9, 0), (1e9, 1)]
)
def test_a_sigmoid_window_follows_its_formula(value: float, share: float) -> None:
    assert windowing("SIGMOID", 40, 100)(np.array([value]))[0] == pytest.approx(share)


def test_stretch_spreads_a_range_and_clips_what_lies_outside() -> None:
    shares = stretch(np.array([-5.0, 0.0, 5.0, 10.0, 20.0]), 0.0, 10.0)

    assert shares.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_stretching_a_single_value_gives_black() -> None:
    assert stretch(np.full((2, 2), 7.0), 7.0, 7.0).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("bits", "grays", "dtype"), [(8, [0, 128, 255], "uint8"), (16, [0, 32768, 65535], "uint16")]
)
def test_full_scale_reaches_the_largest_gray(bits: int, grays: list[int], dtype: str) -> None:
    pixels = to_full_scale(np.array([0.0, 0.5, 1.0]), bits)

    assert pixels.tolist() == grays
    assert pixels.dtype == dtype


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


def test_widening_maps_the_largest_sample_to_white() -> None:
    samples = np.array([[0, 2048, 4095]], dtype=np.uint16)

    assert widen(samples, 12).tolist() == [[0, 32776, 65535]]


def test_widening_full_depth_copies_nothing() -> None:
    samples = np.array([[0, 65535]], dtype=np.uint16)

    assert widen(samples, 16) is samples


def test_a_table_is_looked_up_in_blocks() -> None:
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    indices = np.resize(np.arange(256, dtype=np.uint8), (3, BLOCK_VALUES))

    entries = look_up(table, indices)

    assert [block.stop - block.start for block in row_blocks(indices)] == [1, 1, 1]
    assert np.array_equal(entries, 255 - indices)


def test_luma_has_the_weights_of_bt_601() -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=np.uint8)

    assert luma(colours).tolist() == [76, 150, 29, 255]


def test_luma_of_16_bit_white_is_white() -> None:
    colours = np.array([[65535, 65535, 65535], [0, 65535, 0]], dtype=np.uint16)

    assert luma(colours).tolist() == [65535, 38469]


def test_luma_equals_that_of_pillow() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)

    assert np.array_equal(luma(colours), np.asarray(Image.fromarray(colours).convert("L")))


def test_transparent_pixels_turn_black() -> None:
    gray = np.array([[200, 200, 200]], dtype=np.uint8)
    alpha = np.array([[255, 128, 0]], dtype=np.uint8)

    assert over_black(gray, alpha).tolist() == [[200, 100, 0]]


def test_resize_averages_what_it_shrinks() -> None:
    pixels = np.array([[0, 100], [100, 200]], dtype=np.uint8)

    assert resize(pixels, (1, 1)).tolist() == [[100]]


def test_resize_to_the_same_size_copies_nothing() -> None:
    pixels = np.zeros((4, 6), dtype=np.uint8)

    assert resize(pixels, (4, 6)) is pixels


def test_resize_keeps_the_16_bits() -> None:
    pixels = np.tile(np.array([[1000, 60000]], dtype=np.uint16), (2, 1))

    resized = resize(pixels, (1, 1))

    assert resized.dtype == np.uint16
    assert resized.tolist() == [[30500]]


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2"])
@pytest.mark.parametrize("size", [(12, 12), (5, 9), (60, 50)])
def test_resize_is_that_of_pillow(dtype: str, size: tuple[int, int]) -> None:
    large = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (53, 80)).astype(dtype)
    height, width = size

    for pixels in (large, large[3:40, 7:-5], large.T):
        expected = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        assert np.array_equal(resize(pixels, size), np.asarray(expected))


def test_black_and_white_stay_so_in_8_bits() -> None:
    pixels = np.array([[0, 128, 129, 32768, 65535]], dtype=np.uint16)

    assert to_uint8(pixels).tolist() == [[0, 0, 1, 128, 255]]


def test_8_bit_pixels_pass_uncopied() -> None:
    pixels = np.zeros((2, 2), dtype=np.uint8)

    assert to_uint8(pixels) is pixels
