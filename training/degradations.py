"""What makes a radiograph unreadable, in rising amounts: too dark, blurred, turned, cut off.

``training.acquisition_shifts`` is what a model must live with; this is what it must not answer on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contract.pixels import resize

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Degradation:
    """One fault in several amounts.

    ``axis`` names the amount and its unit, ``levels`` grow worse. ``apply`` takes a uint8 plane, a
    level, and the generator that draws the rest, and gives a plane of the same shape.
    """

    name: str
    axis: str
    levels: tuple[float, ...]
    apply: Callable[[Plane, float, Generator], Plane]


def blurred(plane: Plane, radius: float, _random: Generator) -> Plane:
    """Blur with a Gaussian of that standard deviation, in pixels."""
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.GaussianBlur(radius)))


def darkened(plane: Plane, stops: float, _random: Generator) -> Plane:
    """Halve the grays so many times."""
    return _multiplied(plane, 2**-stops)


def brightened(plane: Plane, stops: float, _random: Generator) -> Plane:
    """Double the grays so many times; what grows beyond white is white."""
    return _multiplied(plane, 2**stops)


def noisy(plane: Plane, sigma: float, random: Generator) -> Plane:
    """Add Gaussian noise of that standard deviation, in gray levels."""
    return _grays(plane + random.normal(0, sigma, plane.shape))


def cornered(plane: Plane, cut: float, random: Generator) -> Plane:
    """Cut that share of the height and of the width away, and fill the picture with the rest."""
    height, width = plane.shape
    rows, columns = (max(1, round((1 - cut) * side)) for side in plane.shape)
    top, left = random.choice((0, height - rows)), random.choice((0, width - columns))
    corner = np.ascontiguousarray(plane[top : top + rows, left : left + columns])
    return resize(corner, (height, width))


def framed(plane: Plane, cut: float, _random: Generator) -> Plane:
    """Shrink the picture by that share of its sides, in a black frame."""
    height, width = plane.shape
    rows, columns = (max(1, round((1 - cut) * side)) for side in plane.shape)
    top, left = (height - rows) // 2, (width - columns) // 2
    frame = np.zeros_like(plane)
    frame[top : top + rows, left : left + columns] = resize(plane, (rows, columns))
    return frame


def rotated(plane: Plane, degrees: float, random: Generator) -> Plane:
    """Turn by that angle to either side; what was outside is black."""
    side = random.choice((-1, 1))
    picture = Image.fromarray(plane).rotate(side * degrees, Image.Resampling.BILINEAR)
    return np.asarray(picture)


def inverted(plane: Plane, _amount: float, _random: Generator) -> Plane:
    """Swap black and white."""
    return 255 - plane


DEGRADATIONS = (
    Degradation("blur", "Blur, standard deviation in pixels", (1, 1.5, 2, 3, 4, 6), blurred),
    Degradation("dark", "Exposure, stops below", (1, 2, 3, 4, 5, 6), darkened),
    Degradation("bright", "Exposure, stops above", (0.5, 1, 1.5, 2, 3), brightened),
    Degradation("noise", "Noise, standard deviation in grays", (10, 20, 30, 40, 60), noisy),
    Degradation("corner", "Cut off, share of the sides", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), cornered),
    Degradation("frame", "Black frame, share of the sides", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), framed),
    Degradation("rotation", "Rotation, degrees", (10, 20, 30, 45, 60, 90, 180), rotated),
    Degradation("inversion", "Inversion (1: inverted)", (1,), inverted),
)


def degraded(
    images: NDArray[np.uint8], degradation: Degradation, level: float, random: Generator
) -> NDArray[np.uint8]:
    """Put one fault over every image.

    Args:
        images: uint8, shape (images, height, width, 1).
        degradation: The fault.
        level: Its amount.
        random: Draws what the amount leaves open.

    Returns:
        uint8, the same shape.
    """
    planes = [degradation.apply(image[..., 0], level, random) for image in np.asarray(images)]
    return np.stack(planes)[..., np.newaxis]


def _multiplied(plane: Plane, factor: float) -> Plane:
    return _grays(np.arange(256) * factor)[plane]


def _grays(values: NDArray[np.floating]) -> Plane:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
