"""What is measured of one image."""

import hashlib
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.pixels import resize, to_uint8
from contract.radiograph import decode
from training.explore.container import read_container

THUMBNAIL_SIDE = 96
BINS = 64
# Markers, tubes and collimation lie in this share of each side.
BORDER_SHARE = 0.05
BLACK_BELOW = 8


class Measurement(BaseModel):
    """The facts of one readable image.

    ``rows`` and ``columns`` are pixels, ``bytes`` the size of the file. ``mean_gray``, ``contrast``
    (the standard deviation) and ``border_gray`` are gray levels, 0 black to 255 white;
    ``border_black`` is the share of black pixels in the outer twentieth of each side.
    ``histogram`` has the share of pixels in each of 64 equal steps of gray. The others are those of
    ``Container``.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int
    format: str
    mode: str
    bits: int
    rows: int
    columns: int
    jpeg_quality: float | None
    coloured: float | None
    tint: float | None
    mean_gray: float
    contrast: float
    border_gray: float
    border_black: float
    histogram: tuple[float, ...]


def measure(data: bytes) -> tuple[Measurement, NDArray[np.uint8]]:
    """Measure one image, which is decoded in full.

    Args:
        data: The whole file.

    Returns:
        The facts, and a thumbnail: uint8, shape (96, 96), stretched to a square as models see it.

    Raises:
        ImageError: The file cannot be read.
        MemoryError: The machine has less memory left than the image takes.
    """
    radiograph = decode(data)
    pixels = to_uint8(radiograph.pixels)
    counts = np.bincount(pixels.ravel(), minlength=256) / pixels.size
    mean = float(counts @ np.arange(256))
    border = _border(pixels)
    measurement = Measurement(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        format=radiograph.format,
        rows=radiograph.rows,
        columns=radiograph.columns,
        mean_gray=mean,
        contrast=float(np.sqrt(counts @ (np.arange(256) - mean) ** 2)),
        border_gray=float(border.mean()),
        border_black=float((border < BLACK_BELOW).mean()),
        histogram=tuple(counts.reshape(BINS, -1).sum(axis=1).round(6).tolist()),
        **asdict(read_container(data, radiograph)),
    )
    return measurement, resize(pixels, (THUMBNAIL_SIDE, THUMBNAIL_SIDE))


def _border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels along the four sides, in one row."""
    rows, columns = (max(1, round(BORDER_SHARE * side)) for side in pixels.shape)
    middle = pixels[rows:-rows]
    parts = (pixels[:rows], pixels[-rows:], middle[:, :columns], middle[:, -columns:])
    return np.concatenate([part.ravel() for part in parts])
