"""Out-of-distribution images: made up here, or read from a folder of one's own."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.color import rgb2gray

from contract.errors import ImageError
from contract.pixels import resize
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.errors import DataError

Images = NDArray[np.uint8]
Plane = NDArray[np.floating]
"""Gray, 0 black to 1 white, shape (rows, columns)."""

IMAGES_PER_KIND = 100
SIDE = 256
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz    ")
# scikit-image brings these along; it would have to fetch the others.
PHOTOGRAPHS = (
    *(data.astronaut, data.brick, data.camera, data.cat, data.coffee),
    *(data.coins, data.grass, data.gravel, data.moon, data.rocket),
)


def made_up(
    spec: PreprocessingSpec, seed: int = 0, count: int = IMAGES_PER_KIND
) -> dict[str, Images]:
    """Draw images of each kind that needs no file.

    Args:
        spec: What the model takes.
        seed: Of the draw.
        count: How many of each kind.

    Returns:
        By kind, uint8, shape (count, height, width, 1).
    """
    random = np.random.default_rng(seed)
    return {
        kind: np.stack([_fitted(make(random), spec) for _ in range(count)])
        for kind, make in KINDS.items()
    }


def read_ood_images(folder: Path, spec: PreprocessingSpec) -> dict[str, Images]:
    """Read one's own out-of-distribution images; each folder in the folder is a kind.

    What cannot be read is left out: the service would not answer on it either.

    Args:
        folder: With one folder for each kind.
        spec: What the model takes.

    Returns:
        By kind, uint8, shape (images, height, width, 1).

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    kinds: dict[str, list[Images]] = {}
    for file in sorted(file for file in folder.glob("*/**/*") if file.is_file()):
        with contextlib.suppress(ImageError):
            image = preprocess(decode(file.read_bytes(), at_least=spec.size), spec)
            kinds.setdefault(file.relative_to(folder).parts[0], []).append(image)
    if not kinds:
        raise DataError(f"{folder} has no images. Give a folder with one folder for each kind.")
    return {kind: np.stack(images) for kind, images in kinds.items()}


def _fitted(plane: Plane, spec: PreprocessingSpec) -> Images:
    grays = np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8)
    return resize(grays, spec.size)[..., np.newaxis]


def _photograph(random: Generator) -> Plane:
    """A window of a photograph, at least a third of each side."""
    photograph = PHOTOGRAPHS[random.integers(len(PHOTOGRAPHS))]()
    gray = rgb2gray(photograph) if photograph.ndim == 3 else photograph / 255
    rows, columns = (np.array(gray.shape) * random.uniform(1 / 3, 1, 2)).astype(int)
    top, left = random.integers((gray.shape[0] - rows + 1, gray.shape[1] - columns + 1))
    return gray[top : top + rows, left : left + columns]


def _document(random: Generator) -> Plane:
    """A page of letters; now and then white on black."""
    lines = ["".join(random.choice(LETTERS, 60)) for _ in range(random.integers(5, 40))]
    page = Image.new("L", (384, 512), int(random.integers(215, 256)))
    font = ImageFont.load_default(random.uniform(8, 16))
    ImageDraw.Draw(page).multiline_text((20, 20), "\n".join(lines), fill=0, font=font)
    gray = np.asarray(page) / 255
    return 1 - gray if random.random() < 1 / 4 else gray


def _noise(random: Generator) -> Plane:
    """White noise, salt, or coarse noise."""
    return (
        random.normal(0.5, random.uniform(0.04, 0.4), (SIDE, SIDE)),
        (random.random((SIDE, SIDE)) < random.uniform(0.02, 0.5)).astype(float),
        random.random((random.integers(3, 25), random.integers(3, 25))),
    )[random.integers(3)]


def _blank(random: Generator) -> Plane:
    """One level, nearly one level, or a slope."""
    y, x = np.ogrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    even = np.full((SIDE, SIDE), random.choice((0, 1, random.random())), float)
    return (
        even,
        even + random.normal(0, random.uniform(0.002, 0.012), even.shape),
        random.uniform(0.2, 1) * (random.random() * x + random.random() * y) / 2,
    )[random.integers(3)]


def _phantom(random: Generator) -> Plane:
    """The head phantom of computed tomography, with other framing, contrast and noise."""
    head = data.shepp_logan_phantom()
    edge = random.integers(1, len(head) // 6)
    curve = random.uniform(0.2, 1) * head[edge:-edge, edge:-edge] ** random.uniform(0.3, 1.5)
    return curve + random.normal(0, random.uniform(0, 0.05), curve.shape)


KINDS: Mapping[str, Callable[[Generator], Plane]] = {
    "photographs": _photograph,
    "documents": _document,
    "noise": _noise,
    "blank": _blank,
    "phantoms": _phantom,
}
