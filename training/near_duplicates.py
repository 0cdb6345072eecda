"""Images that are the same picture, found by a perceptual hash."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_SIDE = 16
BLOCK = 1024


def difference_hashes(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Describe each image by where it grows brighter from left to right.

    A change of exposure or of compression moves few bits. Radiographs of two patients look much
    alike, so the usual 64 bits cannot tell them apart; 256 can.

    Source: Krawetz N. Kind of Like That, 2013 (dHash).

    Args:
        images: uint8, shape (images, height, width, 1).
        rows: int, shape (chosen,): the images to describe.

    Returns:
        bool, shape (chosen, 256).
    """
    small = np.stack([_shrink(images[row, ..., 0]) for row in rows])
    return (small[:, :, 1:] > small[:, :, :-1]).reshape(len(rows), -1)


def near_duplicate_pairs(hashes: NDArray[np.bool_], max_bits: int) -> Iterator[tuple[int, int]]:
    """Yield each pair of images whose hashes differ in at most ``max_bits`` bits.

    Args:
        hashes: bool, shape (images, bits).
        max_bits: The largest Hamming distance.
    """
    signs = np.where(hashes, 1, -1).astype(np.float32)
    least_product = hashes.shape[1] - 2 * max_bits
    for start in range(0, len(signs), BLOCK):
        close = signs[start : start + BLOCK] @ signs.T >= least_product
        for row, column in zip(*np.nonzero(close), strict=True):
            if start + row < column:
                yield int(start + row), int(column)


def joined_groups(groups: list[str], pairs: Iterator[tuple[int, int]]) -> list[str]:
    """Join the groups of every pair, and of pairs of pairs.

    Args:
        groups: The group of each image.
        pairs: Positions of images that belong together.

    Returns:
        The joined group of each image, named after its alphabetically first member.
    """
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    for first, second in pairs:
        a, b = sorted((root(groups[first]), root(groups[second])))
        parent[b] = a
    return [root(group) for group in groups]


def _shrink(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(plane)
    return np.asarray(picture.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX))
