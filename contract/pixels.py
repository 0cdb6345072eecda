"""Pixel arithmetic, as pure functions: none opens a file, none changes its arguments.

Grays travel as "shares": float64 from 0 (black) to 1 (white), until ``to_full_scale`` makes them
uint8 or uint16.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GrayPixels = NDArray[np.uint8 | np.uint16]
Values = NDArray[np.float64]
Samples = NDArray[np.generic]
Entry = TypeVar("Entry", bound=np.generic)

BLOCK_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Turn:
    """How an image was brought upright: its axes swapped first, then turned around."""

    transposed: bool = False
    rows: bool = False
    columns: bool = False

    def __bool__(self) -> bool:
        return self.transposed or self.rows or self.columns

    @property
    def words(self) -> str:
        """What was done, for the answer; empty where nothing was."""
        return _TURNS[self.transposed, self.rows, self.columns]

    def apply(self, plane: NDArray[Entry]) -> NDArray[Entry]:
        """Turn an image upright, shape (rows, columns) or (rows, columns, channels)."""
        turned = plane.swapaxes(0, 1) if self.transposed else plane
        return np.ascontiguousarray(turned[self._flips])

    def undo(self, plane: NDArray[Entry]) -> NDArray[Entry]:
        """Turn a map of the upright image, such as a heatmap, back to the image as it was sent."""
        flipped = plane[self._flips]
        return np.ascontiguousarray(flipped.swapaxes(0, 1) if self.transposed else flipped)

    @property
    def _flips(self) -> tuple[slice, slice]:
        return slice(None, None, -1 if self.rows else 1), slice(
            None, None, -1 if self.columns else 1
        )


UPRIGHT = Turn()
_TURNS = {
    (False, False, False): "",
    (False, False, True): "mirrored left to right",
    (False, True, False): "mirrored top to bottom",
    (False, True, True): "turned by 180 degrees",
    (True, False, False): "mirrored along its diagonal",
    (True, False, True): "turned by 90 degrees clockwise",
    (True, True, False): "turned by 90 degrees counterclockwise",
    (True, True, True): "mirrored along its other diagonal",
}


def stretch(values: Values, low: float, high: float) -> Values:
    """Spread the range ``low`` to ``high`` over the shares 0 to 1; an empty range is black."""
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)


def to_full_scale(shares: Values, bits: int) -> GrayPixels:
    """Quantise shares to uint8 (``bits`` is 8) or uint16 (16), rounding to the nearest gray."""
    whole: Values = np.rint(shares * (2**bits - 1))
    return whole.astype(np.uint8) if bits == 8 else whole.astype(np.uint16)


def sample_depth(samples: GrayPixels) -> int:
    """Guess a depth: the smallest of 8, 10, 12, 14 and 16 bits that holds the unsigned samples.

    A 16-bit PNG or TIFF made from a 12-bit detector does not say so. One sample in a thousand may
    be larger: a dead pixel or a burnt-in marker must not darken the picture.
    """
    for bits in (8, 10, 12, 14):
        if np.count_nonzero(samples >= 2**bits) * 1000 <= samples.size:
            return bits
    return 16


def widen(samples: GrayPixels, bits: int) -> GrayPixels:
    """Scale samples of ``bits`` bits, each below ``2**bits``, to the full scale of their dtype."""
    full = np.iinfo(samples.dtype)
    if bits == full.bits:
        return samples
    table = np.rint(np.arange(2**bits) * (full.max / (2**bits - 1))).astype(samples.dtype)
    return look_up(table, samples)


def look_up(table: NDArray[Entry], indices: Samples) -> NDArray[Entry]:
    """Replace each unsigned index, at least one, by its entry."""
    return in_row_blocks(lambda block: table[block], indices)


def luma(rgb: GrayPixels) -> GrayPixels:
    """Turn colour into gray: 0.299 R + 0.587 G + 0.114 B, in 16-bit fixed point.

    ``rgb``: uint8 or uint16, shape (..., 3). The result: the same dtype, shape (...). Source: ITU-R
    BT.601-7, 2.5.1; the weights are those of PS3.3 C.7.6.3.1.2 for YBR_FULL.
    """

    def render(block: GrayPixels) -> GrayPixels:
        red, green, blue = (block[..., channel].astype(np.uint32) for channel in range(3))
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(rgb.dtype)

    return in_row_blocks(render, rgb)


def over_black(gray: GrayPixels, alpha: GrayPixels) -> GrayPixels:
    """Composite gray that is not premultiplied over black; ``alpha`` has its shape and dtype."""
    opaque = int(np.iinfo(gray.dtype).max)

    def render(gray: GrayPixels, alpha: GrayPixels) -> GrayPixels:
        product = gray.astype(np.uint32) * alpha + opaque // 2
        return (product // opaque).astype(gray.dtype)

    return in_row_blocks(render, gray, alpha)


def in_row_blocks(
    render: Callable[..., NDArray[Entry]], *arrays: NDArray[np.generic]
) -> NDArray[Entry]:
    """Render arrays of the same length a block of rows at a time.

    So what NumPy needs in between stays in the cache, and a large image within its memory budget.
    """
    rows = len(arrays[0])
    first, *others = row_blocks(arrays[0])
    block = render(*(array[first] for array in arrays))
    if not others:
        return block
    whole = np.empty((rows, *block.shape[1:]), block.dtype)
    whole[first] = block
    for each in others:
        whole[each] = render(*(array[each] for array in arrays))
    return whole


def row_blocks(array: Samples) -> Iterator[slice]:
    """Cut the first axis of an array that is not empty into slices of about a million values."""
    rows = max(1, BLOCK_VALUES * len(array) // array.size)
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def resize(plane: NDArray[Entry], size: tuple[int, int]) -> NDArray[Entry]:
    """Fit to a (height, width): bilinear, antialiased when it shrinks, within the plane's range.

    ``plane``: uint8, uint16 or float32, shape (rows, columns); the aspect ratio is not kept.
    """
    if plane.shape == size:
        return plane
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def to_uint8(pixels: GrayPixels) -> NDArray[np.uint8]:
    """Reduce full-scale uint16 to uint8, rounding to the nearest gray; uint8 passes uncopied."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    # 65535 is 257 times 255, so that black and white stay exactly black and white.
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
