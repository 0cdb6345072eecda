"""Changes that a radiograph could show: another position, exposure, sharpness, or an object.

All functions are pure; each draws from the generator that it is given.
"""

import io

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contract.radiograph import decode
from training.config import AugmentationConfig

Plane = NDArray[np.uint8]

# A tone curve rises from black to white in so many steps; the more even, the closer to a line.
TONE_STEPS = 5
TONE_EVENNESS = 2.5


def augment(image: Plane, random: Generator, config: AugmentationConfig) -> Plane:
    """Change one image at random.

    Args:
        image: uint8, shape (height, width), 0 black to 255 white.
        random: Decides everything; the same state gives the same result.
        config: How far.

    Returns:
        uint8, the same shape; never the array that was given.
    """
    strength = config.strength
    picture = _moved(Image.fromarray(image), random, config)
    if _happens(random, strength * config.degrade_probability):
        picture = _degraded(picture, random)
    if _happens(random, strength * config.blur_probability):
        radius = random.uniform(0.3 * config.blur_radius, config.blur_radius)
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    plane = exposure_table(random, config)[np.asarray(picture)]
    if _happens(random, strength * config.noise_probability):
        plane = _with_noise(plane, random, config.noise_sigma)
    if _happens(random, strength * config.erase_probability):
        _erase(plane, random, config)
    return plane


def mixup(
    images: Plane, targets: NDArray[np.float32], random: Generator, alpha: float
) -> tuple[Plane, NDArray[np.float32]]:
    """Blend each image of a batch, and its target, with another's.

    Source: Zhang 2018, mixup: Beyond Empirical Risk Minimization. One weight for the whole batch,
    at least one half.

    Args:
        images: uint8, shape (batch, height, width, 1).
        targets: float32, shape (batch, classes), each row a distribution.
        random: Decides the weight and the partners.
        alpha: Of the beta distribution of the weight, above 0.

    Returns:
        Blended images and targets, of the same shapes and dtypes.
    """
    drawn = random.beta(alpha, alpha)
    weight = np.float32(max(drawn, 1 - drawn))
    partner = random.permutation(len(images))
    blended = weight * images + (1 - weight) * images[partner]
    return np.rint(blended).astype(np.uint8), weight * targets + (1 - weight) * targets[partner]


def exposure_table(random: Generator, config: AugmentationConfig) -> Plane:
    """Gamma, contrast, brightness and a tone curve as one look-up table.

    Returns:
        uint8, shape (256,), never falling.
    """
    gamma = np.exp(_amount(random, config, config.gamma))
    contrast = np.exp(_amount(random, config, config.contrast))
    brightness = _amount(random, config, config.brightness)
    level = np.linspace(0, 1, 256) ** gamma
    level = np.clip((level - 0.5) * contrast + 0.5 + brightness, 0, 1)
    if _happens(random, config.strength * config.tone_probability):
        rises = random.dirichlet(np.full(TONE_STEPS, TONE_EVENNESS))
        curve = np.concatenate([[0], np.cumsum(rises)])
        level = np.interp(level, np.linspace(0, 1, TONE_STEPS + 1), curve)
    return np.rint(level * 255).astype(np.uint8)


def _moved(picture: Image.Image, random: Generator, config: AugmentationConfig) -> Image.Image:
    width, height = picture.size
    matrix = _affine(random, config)
    centre = np.array([width, height]) / 2
    reach = config.strength * config.shift * centre * 2
    offset = centre - matrix @ centre + random.uniform(-1, 1, 2) * reach
    (a, b), (d, e) = matrix
    coefficients = (a, b, offset[0], d, e, offset[1])
    return picture.transform(
        picture.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )


def _affine(random: Generator, config: AugmentationConfig) -> NDArray[np.float64]:
    """From places in the result to places in the source, so a small scale is a close look."""
    angle = np.deg2rad(_amount(random, config, config.rotation_degrees))
    crop = config.strength * config.crop * random.random()
    scale = _amount(random, config, config.scale) - crop
    scale_x = np.exp(scale + _amount(random, config, config.aspect))
    scale_y = np.exp(scale + _amount(random, config, config.aspect))
    shear = _amount(random, config, config.shear)
    mirror = -1 if _happens(random, config.flip_probability) else 1
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array(
        [[cos * scale_x * mirror, -sin * scale_x + shear], [sin * scale_y * mirror, cos * scale_y]]
    )


def _degraded(picture: Image.Image, random: Generator) -> Image.Image:
    """What other processing chains do to an image: fewer pixels, harder compression, sharpening."""
    kind = random.integers(3)
    if kind == 0:
        small = [max(1, round(random.uniform(0.35, 0.8) * side)) for side in picture.size]
        return picture.resize(small, Image.Resampling.BILINEAR).resize(
            picture.size, Image.Resampling.BILINEAR
        )
    if kind == 1:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(random.integers(15, 70)))
        return Image.fromarray(decode(file.getvalue()).pixels)
    radius, percent = random.uniform(0.5, 3), int(random.integers(50, 200))
    return picture.filter(ImageFilter.UnsharpMask(radius, percent, threshold=0))


def _with_noise(plane: Plane, random: Generator, largest_sigma: float) -> Plane:
    sigma = np.float32(random.uniform(1, max(1, largest_sigma)))
    noise = random.standard_normal(plane.shape, dtype=np.float32) * sigma
    return np.clip(plane + noise, 0, 255).astype(np.uint8)


def _erase(plane: Plane, random: Generator, config: AugmentationConfig) -> None:
    """Cover a few rectangles with one gray each, as a lead marker or a device does."""
    rows, columns = plane.shape
    for _ in range(random.integers(1, config.erase_patches + 1)):
        height, width = (
            max(1, int(random.uniform(0.2, 1) * config.erase_size * side)) for side in plane.shape
        )
        top, left = random.integers(rows - height + 1), random.integers(columns - width + 1)
        plane[top : top + height, left : left + width] = random.integers(256)


def _amount(random: Generator, config: AugmentationConfig, bound: float) -> float:
    return random.uniform(-1, 1) * config.strength * bound


def _happens(random: Generator, probability: float) -> bool:
    return random.random() < probability
