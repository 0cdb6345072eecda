"""16-bit colour, and 16-bit gray with alpha: what Pillow reads with 8 bits only.

Pillow keeps the high byte of each sample. A 12-bit radiograph that a program wrote as colour would
lose all but four of its bits.
"""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from contract.errors import UnsupportedFormat
from contract.pixels import (
    GrayPixels,
    in_row_blocks,
    luma,
    over_black,
    row_blocks,
    sample_bits,
    widen,
)

GRAY_WITH_ALPHA = "LA;16B"
_KINDS = frozenset({"RGB", "RGBX", "RGBA"})
# Told the other byte order, Pillow keeps the low byte instead.
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}

Bytes = NDArray[np.uint8]


def raw_mode(image: ImageFile) -> str:
    """Name how the samples lie in the file of an image that is not loaded yet."""
    arguments = image.tile[0].args or ("",)
    return str(arguments if isinstance(arguments, str) else arguments[0])


def is_deep(image: ImageFile) -> bool:
    """Tell whether an image that is not loaded yet has more than 8 bits, and more than gray."""
    kind, _, depth = raw_mode(image).partition(";")
    return depth in _OTHER_BYTE and kind != "I"


def read_deep(image: ImageFile, open_again: Callable[[], ImageFile]) -> GrayPixels:
    """Decode an image that ``is_deep``, as gray over black.

    Args:
        image: Not loaded yet.
        open_again: Opens it once more, for its low bytes.

    Returns:
        uint16, shape (rows, columns), scaled from the depth that holds the largest sample.

    Raises:
        UnsupportedFormat: CMYK, or colour that is multiplied by its alpha already.
    """
    key = image.info.get("transparency")
    high, low = _bytes(image, open_again)

    def samples(high: Bytes, low: Bytes) -> NDArray[np.uint16]:
        joined: NDArray[np.uint16] = high.astype(np.uint16) << np.uint16(8) | low
        return _without_key(joined, key)

    largest = max(int(_colours(samples(high[rows], low[rows])).max()) for rows in row_blocks(high))
    bits = sample_bits(largest)
    return in_row_blocks(lambda *block: _gray(samples(*block), bits), high, low)


def _bytes(image: ImageFile, open_again: Callable[[], ImageFile]) -> tuple[Bytes, Bytes]:
    """Decode the high and the low bytes, each of shape (rows, columns, channels)."""
    kind, _, depth = raw_mode(image).partition(";")
    if raw_mode(image) == GRAY_WITH_ALPHA:
        # The four bytes of a pixel pass unchanged through a mode that has four channels.
        _set_raw_mode(image, "RGBA")
        pairs = np.asarray(image)
        return pairs[..., 0::2], pairs[..., 1::2]
    if kind not in _KINDS:
        raise UnsupportedFormat("This kind of 16-bit colour is not decoded here.")
    again = open_again()
    _set_raw_mode(again, f"{kind};{_OTHER_BYTE[depth]}")
    return np.asarray(image), np.asarray(again)


def _set_raw_mode(image: ImageFile, mode: str) -> None:
    image.tile = [
        tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)
        for tile in image.tile
    ]


def _without_key(
    samples: NDArray[np.uint16], key: tuple[int, int, int] | None
) -> NDArray[np.uint16]:
    """Blacken the one colour that a PNG's tRNS chunk declares transparent."""
    if key is None:
        return samples
    return np.where((samples == np.asarray(key)).all(axis=-1, keepdims=True), 0, samples)


def _colours(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return samples[..., :1] if samples.shape[-1] == 2 else samples[..., :3]


def _gray(samples: NDArray[np.uint16], bits: int) -> GrayPixels:
    wide = widen(_colours(samples), bits)
    gray = wide[..., 0] if wide.shape[-1] == 1 else luma(wide)
    return gray if samples.shape[-1] == 3 else over_black(gray, samples[..., -1])
