"""What is measured of an image to judge its quality; pure functions on a model's input.

They see the same pixels as the model, in service as in training, and none depends on what shows:
position has a file of its own.

Within a request they run once, between a decoder and a network that leave the caches cold: a call
into NumPy then costs more than its arithmetic, so that all sums are taken in as few as possible.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.pixels import shared_with_pillow

Image = NDArray[np.uint8]

# Markers, tubes and the frame lie in the outer eighth of each side.
_MARGIN = 8
# So many gray levels at both ends count as clipped, since a resize or a JPEG moves them a little.
_BLACK_LEVELS, _WHITE_LEVELS = 3, 6
# A row or column whose mean is less than one part in so many of the picture's is frame, whatever
# marker is in it.
_FRAME_PARTS = 8
_NEAR, _FAR = 1, 4
_LEVELS = np.arange(256)
# What a histogram is multiplied by for the sums of Grays; whole numbers, exact in float64.
_GRAY_SUMS = np.stack(
    [_LEVELS, _LEVELS**2, (_LEVELS < _BLACK_LEVELS) | (_LEVELS >= 256 - _WHITE_LEVELS)]
).astype(np.float64)
# A second difference down and across is at most 8 times 255: sixteen of them still fit into int16.
_FOLDS = 16


class Grays(NamedTuple):
    """How many pixels there are, the sums of their grays and of the squares, how many are clipped.

    Whole numbers, and exact.
    """

    pixels: int
    total: int
    squares: int
    clipped: int


class Changes(NamedTuple):
    """Mean magnitudes of differences between pixels.

    ``near`` lie one pixel apart and ``far`` four, both across plus down. ``second`` is the second
    difference down and across, which is 0 for whatever is linear.
    """

    near: float
    far: float
    second: float


def inside(image: Image) -> Image:
    """The image without the outer eighth of each side.

    Args:
        image: uint8, shape (height, width).
    """
    height, width = image.shape
    y, x = height // _MARGIN, width // _MARGIN
    return image[y : height - y, x : width - x]


def grays(image: Image) -> Grays:
    """Sum the grays.

    Args:
        image: uint8, shape (height, width), not empty.
    """
    # Pillow's histogram takes a third of the time of NumPy's, which makes int64 of each pixel.
    counts = np.array(shared_with_pillow(image).histogram(), np.float64)
    total, squares, clipped = (_GRAY_SUMS @ counts).tolist()
    return Grays(image.size, int(total), int(squares), int(clipped))


def changes(image: Image) -> Changes:
    """Compare each pixel with those next to it and with those a little further away.

    Args:
        image: uint8, shape (height, width), at least 5 by 5.
    """
    height, width = image.shape
    size = height * width
    gray = image.astype(np.int16).ravel()
    # One row for each kind, padded until it folds. Flat pixels are shifted in half the time of
    # planes; what that wraps round from one row of the image to the next is cleared below.
    rows = np.empty((5, -(-size // _FOLDS) * _FOLDS), np.int16)
    rows[:, size:] = 0
    for row, shift in enumerate((_NEAR, _NEAR * width, _FAR, _FAR * width)):
        np.subtract(gray[shift:], gray[:-shift], out=rows[row, : size - shift])
    down = rows[1, : size - width]
    bend = down[width:] - down[:-width]
    slope = bend[1:] - bend[:-1]
    np.subtract(slope[1:], slope[:-1], out=rows[4, : len(slope) - 1])
    planes = rows[:, :size].reshape(5, height, width)
    planes[0, :, -_NEAR:] = planes[1, -_NEAR:] = 0
    planes[2, :, -_FAR:] = planes[3, -_FAR:] = 0
    planes[4, :, -2:] = planes[4, -2:] = 0
    across, below, far_across, far_below, second = _magnitudes(rows)
    return Changes(
        near=across / (height * (width - _NEAR)) + below / ((height - _NEAR) * width),
        far=far_across / (height * (width - _FAR)) + far_below / ((height - _FAR) * width),
        second=second / ((height - 2) * (width - 2)),
    )


def exposure(of: Grays) -> float:
    """The mean gray, 0 black to 1 white."""
    return of.total / (of.pixels * 255)


def contrast(of: Grays) -> float:
    """The standard deviation of the grays, as a share of the full range, 0 to 0.5."""
    return math.sqrt(of.pixels * of.squares - of.total**2) / (of.pixels * 255)


def clipping(of: Grays) -> float:
    """The share of pixels that are black or white, 0 to 1: what was there is lost."""
    return of.clipped / of.pixels


def sharpness(of: Changes) -> float:
    """How much of a change over four pixels happens within one of them.

    A ramp gives one quarter, white noise one; exposure and contrast cancel out.

    Returns:
        0 where nothing changes.
    """
    return of.near / of.far if of.far else 0.0


def noise(of: Changes, spread: float) -> float:
    """The standard deviation of the noise, as a share of the contrast.

    Source: Immerkaer 1996, Fast Noise Variance Estimation.

    Args:
        of: Of the same image.
        spread: The standard deviation of its grays, as a share of the full range.

    Returns:
        0 where there is no contrast.
    """
    if not spread:
        return 0.0
    sigma = math.sqrt(math.pi / 2) / 6 * of.second
    return sigma / (255 * spread)


def collimation(image: Image) -> float:
    """The share of the picture that is black frame, 0 to 1.

    Args:
        image: uint8, shape (height, width), both below 65,794: a sum of so many fits into float32.
    """
    # Matrix products take a fifth of the time of sums.
    plane = image.astype(np.float32)
    height, width = image.shape
    rows, columns = plane @ _ones(width), _ones(height) @ plane
    total = int(np.add.reduce(rows, dtype=np.float64))
    if not total:
        return 1.0
    # Whole numbers are compared with whole numbers, so that rounding decides nothing.
    lit_rows = rows > total // (_FRAME_PARTS * height)
    lit_columns = columns > total // (_FRAME_PARTS * width)
    return 1 - _extent(lit_rows) * _extent(lit_columns)


def _magnitudes(rows: NDArray[np.int16]) -> list[int]:
    """The sum of each row without the signs, which are lost.

    Args:
        rows: int16, shape (rows, a multiple of _FOLDS).
    """
    np.abs(rows, out=rows)
    # A sum that stays in int16 takes a fifth of the time of one that casts what it sums.
    folded = np.add.reduce(rows.reshape(len(rows), _FOLDS, -1), axis=1, dtype=np.int16)
    totals: list[int] = np.add.reduce(folded, axis=1, dtype=np.int64).tolist()
    return totals


@lru_cache(maxsize=64)
def _ones(length: int) -> NDArray[np.float32]:
    return np.ones(length, np.float32)


def _extent(lit: NDArray[np.bool_]) -> float:
    """From the first to the last that is lit, of at least one, as a share of all."""
    (positions,) = lit.nonzero()
    return (int(positions[-1]) - int(positions[0]) + 1) / len(lit)
