"""Pixel arithmetic, as pure functions."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GrayPixels = NDArray[np.uint8] | NDArray[np.uint16]


def resize(pixels: GrayPixels, size: tuple[int, int]) -> GrayPixels:
    """Fit to (height, width), antialiased bilinear."""
    height, width = size
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels)
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    wide = Image.fromarray(pixels.astype(np.float32))
    resized = np.asarray(wide.resize((width, height), Image.Resampling.BILINEAR))
    return np.rint(resized).astype(np.uint16)


def to_uint8(pixels: GrayPixels) -> NDArray[np.uint8]:
    """Full scale to 0..255."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return np.rint(pixels / 257).astype(np.uint8)
