"""Images that are the same picture, found by a perceptual hash."""

from collections.abc import Iterable, Iterator, Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Two patients' radiographs look too alike for the usual 8 x 8 bits.
HASH_SIDE = 16
BLOCK = 1024


def difference_hashes(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Describe each image by where it grows brighter from left to right.

    A change of exposure or of compression moves few bits.

    Source: Krawetz N. Kind of Like That, 2013 (dHash).

    Args:
        images: uint8, shape (images, height, width, 1).
        rows: int, shape (chosen,): the images to describe.

    Returns:
        bool, shape (chosen, 256).
    """
    pictures = (Image.fromarray(np.asarray(images[row, ..., 0])) for row in rows)
    hashes = [imagehash.dhash(picture, HASH_SIDE).hash.ravel() for picture in pictures]
    return np.array(hashes, np.bool_).reshape(len(rows), HASH_SIDE**2)


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
        for row, column in np.argwhere(np.triu(close, k=start + 1)).tolist():
            yield start + row, column


def joined_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Join the groups of every pair, and of pairs of pairs.

    Args:
        groups: The group of each image.
        pairs: Positions of images that belong together.

    Returns:
        The joined group of each image, named after its alphabetically first member.
    """
    names, member = np.unique(np.array(groups, np.str_), return_inverse=True)
    ends = member[np.array(list(pairs), np.int64).reshape(-1, 2)]
    graph = coo_array((np.ones(len(ends)), tuple(ends.T)), shape=(len(names), len(names)))
    component = connected_components(graph, directed=False)[1]
    # Names are sorted, so the first of a component is the alphabetically first.
    first = np.unique(component, return_index=True)[1]
    return names[first][component][member].tolist()
