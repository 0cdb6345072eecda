import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from contract.pixels import (
    GrayPixels,
    resize,
    sample_depth,
    stretch,
    to_full_scale,
    to_uint8,
    widen,
)

VALUES = arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e6, 1e6, width=32))
SHARES = arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1))
GRAYS = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(1, 40), st.integers(1, 40)))
)


@given(VALUES)
def test_stretching_reaches_both_ends_in_order(values: NDArray[np.float64]) -> None:
    shares = stretch(values, values.min(), values.max())

    assert (np.diff(shares[np.argsort(values)]) >= 0).all()
    assert shares.min() == 0
    assert shares.max() == (1 if values.min() < values.max() else 0)


@given(SHARES, st.sampled_from([8, 16]))
def test_full_scale_errs_by_half_a_gray(shares: NDArray[np.float64], bits: int) -> None:
    grays = to_full_scale(shares, bits)

    assert np.abs(grays - shares * (2**bits - 1)).max() <= 0.5


@given(GRAYS, st.integers(1, 60), st.integers(1, 60))
def test_resize_keeps_dtype_and_range(pixels: GrayPixels, height: int, width: int) -> None:
    resized = resize(pixels, (height, width))

    assert resized.shape == (height, width)
    assert resized.dtype == pixels.dtype
    assert pixels.min() <= resized.min()
    assert resized.max() <= pixels.max()


@given(GRAYS)
def test_8_bits_differ_from_16_by_rounding_alone(pixels: GrayPixels) -> None:
    reduced = to_uint8(pixels)

    full = np.iinfo(pixels.dtype).max
    assert np.abs(reduced / 255 - pixels / full).max() <= 0.5 / 255 + 1e-12


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_widening_keeps_the_order_and_the_ratio_to_white(samples: NDArray[np.uint16]) -> None:
    bits = sample_depth(samples)

    wide = widen(samples, bits)

    assert wide.dtype == np.uint16
    assert np.abs(wide / 65535 - samples / (2**bits - 1)).max() <= 0.5 / 65535 + 1e-12
