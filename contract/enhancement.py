"""Bringing out what is hard to see, before a model looks: local contrast, or overall brightness.

A recipe names the enhancement, the manifest carries it, and training and serving both get it from
here. ``none`` leaves an image as it is.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Enhancement = Literal["none", "clahe", "gamma"]
Plane = NDArray[np.uint8]

LEVELS = 256
TILES = 8
# How often a gray may come in a tile, in units of its fair share: the steepest slope of the curve.
CLIP_LIMIT = 2.0

# An image darker or brighter than these curves can mend is meant for the quality gate.
GAMMA_BOUNDS = (0.4, 2.5)


def enhance(plane: Plane, enhancement: Enhancement) -> Plane:
    """Enhance one image.

    Args:
        plane: uint8, shape (rows, columns), 0 black to 255 white, at least 8 by 8.
        enhancement: What to do.

    Returns:
        uint8, the same shape; with ``none`` the same array.
    """
    if enhancement == "clahe":
        return equalise_locally(plane)
    return centre_brightness(plane) if enhancement == "gamma" else plane


def equalise_locally(plane: Plane) -> Plane:
    """Contrast-limited adaptive histogram equalisation, in eight by eight tiles.

    The counts that a tile's histogram has above the limit are dealt out evenly over all grays, once
    and in fractions, so the slope may exceed the limit by what each gray then gets.

    Args:
        plane: uint8, shape (rows, columns), at least 8 by 8.

    Returns:
        uint8, the same shape. An even image gets another, even gray.

    Source: Zuiderveld 1994, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV.
    """
    rows, columns = plane.shape
    height, width = -(-rows // TILES), -(-columns // TILES)
    spare = ((0, height * TILES - rows), (0, width * TILES - columns))
    curves = _curves(np.pad(plane, spare, mode="symmetric"), height, width)
    upper, lower, down = _neighbours(rows, height)
    left, right, along = _neighbours(columns, width)
    down, along = down[:, np.newaxis], along[np.newaxis]
    above = _mixed(curves[upper[:, None], left, plane], curves[upper[:, None], right, plane], along)
    below = _mixed(curves[lower[:, None], left, plane], curves[lower[:, None], right, plane], along)
    return np.rint(_mixed(above, below, down)).astype(np.uint8)


def centre_brightness(plane: Plane) -> Plane:
    """Raise grays to the power that takes their mean to the middle of the scale.

    Args:
        plane: uint8, any shape.

    Returns:
        uint8, the same shape; black stays black and white stays white.
    """
    shares = np.linspace(0, 1, LEVELS)
    # Half a gray away from both ends the logarithm is finite and not zero.
    mean = np.clip(plane.mean() / (LEVELS - 1), 0.5 / LEVELS, 1 - 0.5 / LEVELS)
    exponent = np.clip(np.log(0.5) / np.log(mean), *GAMMA_BOUNDS)
    curve: Plane = np.rint(shares**exponent * (LEVELS - 1)).astype(np.uint8)
    return curve[plane]


def _curves(padded: Plane, height: int, width: int) -> NDArray[np.float32]:
    """The new gray for each gray in each tile, shape (tiles down, tiles across, grays)."""
    tiles = padded.reshape(TILES, height, TILES, width).swapaxes(1, 2).reshape(TILES**2, -1)
    numbered = tiles + LEVELS * np.arange(TILES**2)[:, np.newaxis]
    counts = np.bincount(numbered.ravel(), minlength=LEVELS * TILES**2).reshape(TILES**2, LEVELS)
    pixels = height * width
    kept = np.minimum(counts, CLIP_LIMIT * pixels / LEVELS)
    dealt = kept + (pixels - kept.sum(axis=1, keepdims=True)) / LEVELS
    curves = np.cumsum(dealt, axis=1) * ((LEVELS - 1) / pixels)
    return curves.astype(np.float32).reshape(TILES, TILES, LEVELS)


def _neighbours(
    length: int, tile: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The tiles whose centres lie around each pixel of a line, and the share of the second."""
    place = (np.arange(length) + 0.5) / tile - 0.5
    first = np.floor(place).astype(np.intp)
    share = (place - first).astype(np.float32)
    return np.clip(first, 0, TILES - 1), np.clip(first + 1, 0, TILES - 1), share


def _mixed(
    first: NDArray[np.float32], second: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    return first + share * (second - first)
