"""How another hospital's images may differ, as fixed changes of the validation images.

A validation split of the training set shares its devices, its framing and its export; a threshold
chosen on it alone is chosen for that one place. Going through these changes shows how far a score
drifts when nothing of the disease changes, and lets a threshold be chosen that survives the drift.
"""

import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contract.radiograph import decode

Plane = NDArray[np.uint8]
Shift = Callable[[Plane], Plane]


def _moved(
    *, zoom: tuple[float, float] = (1, 1), degrees: float = 0, by: tuple[float, float] = (0, 0)
) -> Shift:
    """Zoom is vertical then horizontal, above 1 a closer look; ``by`` is a share of the image."""

    def shift(image: Plane) -> Plane:
        height, width = image.shape
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn / np.array([[zoom[1]], [zoom[0]]])
        centre = np.array([width, height]) / 2
        offset = centre - matrix @ centre + np.array(by) * (width, height)
        (a, b), (d, e) = matrix
        picture = Image.fromarray(image).transform(
            (width, height),
            Image.Transform.AFFINE,
            (a, b, offset[0], d, e, offset[1]),
            Image.Resampling.BILINEAR,
        )
        return np.asarray(picture)

    return shift


def _exposed(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Shift:
    table = np.rint(np.clip(curve(np.linspace(0, 1, 256)), 0, 1) * 255).astype(np.uint8)
    return lambda image: table[image]


def _filtered(kernel: ImageFilter.Filter) -> Shift:
    return lambda image: np.asarray(Image.fromarray(image).filter(kernel))


def _recompressed(quality: int) -> Shift:
    def shift(image: Plane) -> Plane:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        return decode(buffer.getvalue()).pixels

    return shift


def _noisy(sigma: float) -> Shift:
    def shift(image: Plane) -> Plane:
        noise = np.random.default_rng(0).normal(0, sigma, image.shape)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)

    return shift


ACQUISITION_SHIFTS = MappingProxyType(
    {
        "none": _exposed(lambda level: level),
        "brighter": _exposed(lambda level: level**0.6),
        "darker": _exposed(lambda level: level**1.7),
        "flatter": _exposed(lambda level: (level - 0.5) * 0.6 + 0.5),
        "harder": _exposed(lambda level: (level - 0.5) * 1.5 + 0.5),
        "film-like": _exposed(lambda level: 1 / (1 + np.exp(-7 * (level - 0.5)))),
        "closer": _moved(zoom=(1.25, 1.25)),
        "wider": _moved(zoom=(1.0, 1.28)),
        "taller": _moved(zoom=(1.28, 1.0)),
        "narrower": _moved(zoom=(1.0, 0.8)),
        "rotated": _moved(degrees=8),
        "off-centre": _moved(by=(0.08, 0.08)),
        "blurred": _filtered(ImageFilter.GaussianBlur(1.3)),
        "sharpened": _filtered(ImageFilter.UnsharpMask(2, 150, 0)),
        "recompressed": _recompressed(20),
        "noisy": _noisy(10),
    }
)


def shifted(images: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Put one named change over every image.

    Args:
        images: uint8, shape (images, height, width, 1).
        name: A key of ``ACQUISITION_SHIFTS``.

    Returns:
        uint8, the same shape.
    """
    change = ACQUISITION_SHIFTS[name]
    return np.stack([change(np.asarray(image[..., 0])) for image in images])[..., np.newaxis]
