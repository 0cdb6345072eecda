"""The files that are posted: full-size radiographs where there are some, else drawn ones."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.results import Images
from contract.radiograph import decode
from tests.synthetic import as_jpeg, synthetic_radiograph

REPOSITORY = Path(__file__).resolve().parents[1]
ORIGINALS = "chest_xray_originals"
# Drawn radiographs take after the 36 originals: as many, with their mean size in pixels and bytes.
SYNTHETIC_COUNT = 36
SYNTHETIC_ROWS, SYNTHETIC_COLUMNS = 960, 1316
SYNTHETIC_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Whole JPEG files, in the order in which they are posted."""

    files: tuple[bytes, ...]
    facts: Images


def load_images(folder: Path | None = None) -> ImageSet:
    """Read the original radiographs of the development images, or draw some.

    Args:
        folder: The development images; None takes PNEUMO_DATA, else ../shared/data.
    """
    root = folder or Path(os.environ.get("PNEUMO_DATA") or REPOSITORY.parent / "shared" / "data")
    paths = sorted((root / ORIGINALS).glob("*/*.jpeg"))
    files = [path.read_bytes() for path in paths] or draw(SYNTHETIC_COUNT)
    # In their own order, large files come first and small ones last; a window of time must not
    # see more of one kind than another does.
    random.Random(0).shuffle(files)  # noqa: S311 - an order, not a secret
    return ImageSet(tuple(files), _facts(files, real=bool(paths)))


def draw(count: int) -> list[bytes]:
    """Draw radiographs of the originals' mean number of pixels, and of about their mean size."""
    quality = _quality(_drawing(0))
    return [as_jpeg(_drawing(seed), quality) for seed in range(count)]


def _drawing(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    opacity = (seed % 4) / 4
    return synthetic_radiograph(SYNTHETIC_ROWS, SYNTHETIC_COLUMNS, opacity=opacity, seed=seed)


def _quality(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    """The JPEG quality whose file is nearest to the wanted size."""
    return min(range(50, 100), key=lambda q: abs(len(as_jpeg(pixels, q)) - SYNTHETIC_BYTES))


def _facts(files: Sequence[bytes], *, real: bool) -> Images:
    pixels = [radiograph.rows * radiograph.columns for radiograph in map(decode, files)]
    return Images(
        real=real,
        count=len(files),
        mean_bytes=round(float(np.mean([len(file) for file in files]))),
        mean_pixels=round(float(np.mean(pixels))),
    )
