"""16-bit colour, and 16-bit gray with alpha: what Pillow reads with 8 bits only.

Pillow keeps the high byte of each sample. A 12-bit radiograph that a program wrote as colour would
lose all but four of its bits.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from contract.errors import UnsupportedFormat
from contract.pixels import GrayPixels, join_rows, luma, over_black, sample_bits, widen
from contract.strips import strips

GRAY_WITH_ALPHA = "LA;16B"
_KINDS = frozenset({"RGB", "RGBX", "RGBA"})
# Told the other byte order, Pillow keeps the low byte instead.
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}

Bands = Callable[[], Iterator[NDArray[np.uint16]]]


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
    bands = _samples(image, open_again)
    bits = sample_bits(max(int(_colours(band).max()) for band in bands()))
    return join_rows((_gray(band, bits) for band in bands()), image.height)


def _samples(image: ImageFile, open_again: Callable[[], ImageFile]) -> Bands:
    """Decode the high and the low bytes; each call joins them anew, a band of rows at a time."""
    kind, _, depth = raw_mode(image).partition(";")
    key = image.info.get("transparency")
    if raw_mode(image) == GRAY_WITH_ALPHA:
        # The four bytes of a pixel pass unchanged through a mode that has four channels.
        _set_raw_mode(image, "RGBA")
        return lambda: (np.asarray(strip).view(">u2").astype(np.uint16) for strip in strips(image))
    if kind not in _KINDS:
        raise UnsupportedFormat("This kind of 16-bit colour is not decoded here.")
    again = open_again()
    _set_raw_mode(again, f"{kind};{_OTHER_BYTE[depth]}")
    return lambda: (
        _without_key(np.asarray(high).astype(np.uint16) << np.uint16(8) | np.asarray(low), key)
        for high, low in zip(strips(image), strips(again), strict=True)
    )


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
