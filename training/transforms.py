"""Changes of an image: augmentation, acquisition shifts, and corruptions.

``augment`` changes a training image at random. ``ACQUISITION_SHIFTS`` are how another hospital's
images may differ when nothing of the disease does; thresholds and limits are chosen under them.
``CORRUPTIONS`` are what a model must not answer on, in rising amounts. All functions are pure and
work on planes: uint8, shape (height, width), 0 black to 255 white.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contract.pixels import resize
from contract.radiograph import decode
from training.config import AugmentationConfig

Plane = NDArray[np.uint8]
Images = NDArray[np.uint8]
"""Shape (images, height, width, 1)."""

# A tone curve rises from black to white in so many steps; the more even, the closer to a line.
TONE_STEPS = 5
TONE_EVENNESS = 2.5
MOST_PATCHES = 3


def blurred(plane: Plane, radius: float, _random: Generator | None = None) -> Plane:
    """Blur with a Gaussian of that standard deviation, in pixels."""
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.GaussianBlur(radius)))


def sharpened(plane: Plane, radius: float, percent: int) -> Plane:
    """Sharpen with an unsharp mask."""
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.UnsharpMask(radius, percent, 0)))


def recompressed(plane: Plane, quality: int) -> Plane:
    """Write as a JPEG of that quality, and read again."""
    file = io.BytesIO()
    Image.fromarray(plane).save(file, "JPEG", quality=quality)
    return decode(file.getvalue()).pixels


def noisy(plane: Plane, sigma: float, random: Generator) -> Plane:
    """Add Gaussian noise of that standard deviation, in gray levels."""
    return _grays(plane + random.normal(0, sigma, plane.shape))


def darkened(plane: Plane, stops: float, _random: Generator) -> Plane:
    """Halve the grays so many times."""
    return _grays(np.arange(256) * 2**-stops)[plane]


def brightened(plane: Plane, stops: float, _random: Generator) -> Plane:
    """Double the grays so many times; what grows beyond white is white."""
    return _grays(np.arange(256) * 2**stops)[plane]


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


def compressed(plane: Plane, loss: float, _random: Generator) -> Plane:
    """Write as a JPEG of quality 100 less that loss, and read again."""
    return recompressed(plane, round(100 - loss))


def coarsened(plane: Plane, lost: float, _random: Generator) -> Plane:
    """Shrink by that share of the sides, and enlarge again."""
    rows, columns = (max(1, round((1 - lost) * side)) for side in plane.shape)
    return resize(resize(plane, (rows, columns)), plane.shape)


@dataclass(frozen=True, slots=True)
class Corruption:
    """One fault in several amounts.

    ``axis`` names the amount and its unit, ``levels`` grow worse. ``apply`` takes a plane, a level,
    and the generator that draws the rest, and gives a plane of the same shape.
    """

    name: str
    axis: str
    levels: tuple[float, ...]
    apply: Callable[[Plane, float, Generator], Plane]


CORRUPTIONS = (
    Corruption("blur", "Blur, standard deviation in pixels", (1, 1.5, 2, 3, 4, 6), blurred),
    Corruption("dark", "Exposure, stops below", (1, 2, 3, 4, 5, 6), darkened),
    Corruption("bright", "Exposure, stops above", (0.5, 1, 1.5, 2, 3), brightened),
    Corruption("noise", "Noise, standard deviation in grays", (10, 20, 30, 40, 60), noisy),
    Corruption("corner", "Cut off, share of the sides", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), cornered),
    Corruption("frame", "Black frame, share of the sides", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), framed),
    Corruption("rotation", "Rotation, degrees", (10, 20, 30, 45, 60, 90, 180), rotated),
    Corruption("jpeg", "JPEG, quality below 100", (50, 75, 90, 95), compressed),
    Corruption("resolution", "Resolution lost, share of the sides", (0.5, 0.8, 0.9), coarsened),
    Corruption("inversion", "Inversion (1: inverted)", (1,), lambda plane, *_: 255 - plane),
)


def corrupted(images: Images, corruption: Corruption, level: float, random: Generator) -> Images:
    """Put one fault over images: uint8, shape (images, height, width, 1), as is the result."""
    return _each(images, lambda plane: corruption.apply(plane, level, random))


def _grays(values: NDArray[np.floating]) -> Plane:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _curve(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Plane], Plane]:
    table = _grays(curve(np.linspace(0, 1, 256)) * 255)
    return lambda plane: table[plane]


def _placed(
    *, zoom: tuple[float, float] = (1, 1), degrees: float = 0, by: tuple[float, float] = (0, 0)
) -> Callable[[Plane], Plane]:
    """Zoom is vertical then horizontal, above 1 a closer look; ``by`` is a share of the image."""
    matrix = _turn(np.deg2rad(degrees)) / np.array([[zoom[1]], [zoom[0]]])
    return lambda plane: _moved(plane, matrix, np.array(by))


ACQUISITION_SHIFTS: Mapping[str, Callable[[Plane], Plane]] = {
    "none": _curve(lambda level: level),
    "brighter": _curve(lambda level: level**0.6),
    "darker": _curve(lambda level: level**1.7),
    "flatter": _curve(lambda level: (level - 0.5) * 0.6 + 0.5),
    "harder": _curve(lambda level: (level - 0.5) * 1.5 + 0.5),
    "film-like": _curve(lambda level: 1 / (1 + np.exp(-7 * (level - 0.5)))),
    "closer": _placed(zoom=(1.25, 1.25)),
    "wider": _placed(zoom=(1.0, 1.28)),
    "taller": _placed(zoom=(1.28, 1.0)),
    "narrower": _placed(zoom=(1.0, 0.8)),
    "rotated": _placed(degrees=8),
    "off-centre": _placed(by=(0.08, 0.08)),
    "blurred": lambda plane: blurred(plane, 1.3),
    "sharpened": lambda plane: sharpened(plane, 2, 150),
    "recompressed": lambda plane: recompressed(plane, 20),
    "noisy": lambda plane: noisy(plane, 10, np.random.default_rng(0)),
}


def shifted(images: Images, name: str) -> Images:
    """Put one of ``ACQUISITION_SHIFTS`` over every image; shapes as ``corrupted``."""
    return _each(images, ACQUISITION_SHIFTS[name])


def augment(plane: Plane, random: Generator, config: AugmentationConfig) -> Plane:
    """Change one training image at random; the generator's state decides everything.

    The plane that comes back is never the array that was given.
    """
    plane = augment_position(plane, random, config)
    return augment_appearance(plane, random, config)


def augment_position(plane: Plane, random: Generator, config: AugmentationConfig) -> Plane:
    """The part of ``augment`` that moves pixels: a mask has to be moved alike."""
    angle = np.deg2rad(_amount(random, config, config.rotation_degrees))
    scale = _amount(random, config, config.scale)
    scales = np.exp(scale + np.array([_amount(random, config, config.aspect) for _ in range(2)]))
    # From places in the result to places in the source, so a small scale is a close look.
    matrix = _turn(angle) * scales[:, np.newaxis]
    matrix[0, 1] += _amount(random, config, config.shear)
    if _happens(random, config.flip_probability):
        matrix[:, 0] *= -1
    by = random.uniform(-1, 1, 2) * config.strength * config.shift
    return _moved(plane, matrix, by)


def augment_appearance(plane: Plane, random: Generator, config: AugmentationConfig) -> Plane:
    """The part of ``augment`` that leaves pixels where they are."""
    strength = config.strength
    if _happens(random, strength * config.degrade_probability):
        plane = _processed(plane, random)
    if _happens(random, strength * config.blur_probability):
        plane = blurred(plane, random.uniform(0.3 * config.blur_radius, config.blur_radius))
    plane = exposure_table(random, config)[plane]
    if _happens(random, strength * config.noise_probability):
        sigma = np.float32(random.uniform(1, max(1, config.noise_sigma)))
        noise = random.standard_normal(plane.shape, dtype=np.float32) * sigma
        plane = np.clip(plane + noise, 0, 255).astype(np.uint8)
    if _happens(random, strength * config.erase_probability):
        _erase(plane, random, config)
    return plane


def exposure_table(random: Generator, config: AugmentationConfig) -> Plane:
    """Gamma, contrast, brightness and tone as one table: uint8, shape (256,), never falling."""
    gamma = np.exp(_amount(random, config, config.gamma))
    contrast = np.exp(_amount(random, config, config.contrast))
    brightness = _amount(random, config, config.brightness)
    level = np.linspace(0, 1, 256) ** gamma
    level = np.clip((level - 0.5) * contrast + 0.5 + brightness, 0, 1)
    if _happens(random, config.strength * config.tone_probability):
        rises = random.dirichlet(np.full(TONE_STEPS, TONE_EVENNESS))
        curve = np.concatenate([[0], np.cumsum(rises)])
        level = np.interp(level, np.linspace(0, 1, TONE_STEPS + 1), curve)
    return _grays(level * 255)


def _processed(plane: Plane, random: Generator) -> Plane:
    """What other processing chains do to an image: fewer pixels, harder compression, sharpening."""
    kind = random.integers(3)
    if kind == 0:
        picture = Image.fromarray(plane)
        small = [max(1, round(random.uniform(0.35, 0.8) * side)) for side in picture.size]
        shrunk = picture.resize(small, Image.Resampling.BILINEAR)
        return np.asarray(shrunk.resize(picture.size, Image.Resampling.BILINEAR))
    if kind == 1:
        return recompressed(plane, int(random.integers(15, 70)))
    return sharpened(plane, random.uniform(0.5, 3), int(random.integers(50, 200)))


def _erase(plane: Plane, random: Generator, config: AugmentationConfig) -> None:
    """Cover a few rectangles with one gray each, as a lead marker or a device does."""
    rows, columns = plane.shape
    for _ in range(random.integers(1, MOST_PATCHES + 1)):
        height, width = (
            max(1, int(random.uniform(0.2, 1) * config.erase_size * side)) for side in plane.shape
        )
        top, left = random.integers(rows - height + 1), random.integers(columns - width + 1)
        plane[top : top + height, left : left + width] = random.integers(256)


def _moved(plane: Plane, matrix: NDArray[np.float64], by: NDArray[np.float64]) -> Plane:
    """Look up each pixel at ``matrix`` times its place from the centre, and ``by`` of the sides."""
    height, width = plane.shape
    centre = np.array([width, height]) / 2
    offset = centre - matrix @ centre + by * (width, height)
    (a, b), (d, e) = matrix
    coefficients = (a, b, offset[0], d, e, offset[1])
    picture = Image.fromarray(plane).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(picture)


def _each(images: Images, change: Callable[[Plane], Plane]) -> Images:
    return np.stack([change(image[..., 0]) for image in np.asarray(images)])[..., np.newaxis]


def _amount(random: Generator, config: AugmentationConfig, bound: float) -> float:
    return random.uniform(-1, 1) * config.strength * bound


def _happens(random: Generator, probability: float) -> bool:
    return random.random() < probability
