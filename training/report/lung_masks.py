"""Lung masks of the evaluated images: those of the data set, or a segmenter's."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.pixels import resize
from contract.radiograph import decode
from training.report.material import Images, LungMasks

MAX_IMAGES = 1000

Masks = NDArray[np.bool_]
Segment = Callable[[Images], Masks]


def find_lungs(
    images: Images, masks: Sequence[str], root: Path, segment: Segment | None = None
) -> LungMasks:
    """Read the masks that a data set has, and let a segmenter find the others.

    Args:
        images: uint8, shape (images, height, width, 1).
        masks: The path of each image's mask, relative to ``root``; empty where there is none.
        root: The data set's folder.
        segment: From images to masks, bool, shape (images, height, width); None where there is no
            segmenter.

    Returns:
        The masks of at most 1,000 images. One that cannot be read is left out.
    """
    chosen = [row for row, mask in enumerate(masks) if mask or segment is not None]
    chosen = chosen[:: -(-len(chosen) // MAX_IMAGES) or 1]
    size = images.shape[1:3]
    found = dict(_read([row for row in chosen if masks[row]], masks, root, size))
    missing = [row for row in chosen if not masks[row]]
    if segment is not None and missing:
        found |= zip(missing, segment(np.asarray(images[missing])), strict=True)
    rows = sorted(found)
    stacked = np.stack([found[row] for row in rows]) if rows else np.zeros((0, *size), dtype=bool)
    return LungMasks(np.array(rows, np.int64), stacked)


def _read(
    rows: Sequence[int], masks: Sequence[str], root: Path, size: tuple[int, int]
) -> Iterator[tuple[int, Masks]]:
    for row in rows:
        try:
            drawn = decode((root / masks[row]).read_bytes()).pixels
        except (ImageError, OSError):
            continue
        # Some masks are drawn with 255, some with 1.
        grays = resize((drawn > drawn.max() / 2).astype(np.uint8) * np.uint8(255), size)
        yield row, grays > 127
