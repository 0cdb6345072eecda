"""The splits: taken by group of patients and near-duplicates; by image only to show the harm."""

from collections.abc import Iterable, Iterator, Sequence

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.config import SplitConfig

# Two patients' radiographs look too alike for the usual 8 x 8 bits.
HASH_SIDE = 16
BLOCK = 1024


def drawn_splits(
    table: pd.DataFrame, images: NDArray[np.uint8], config: SplitConfig, seed: int
) -> pd.DataFrame:
    """Draw every split that is not official; a group is never cut.

    The table has one row per image, with ``label``, ``group`` and ``source``; its index numbers
    rows of the images, uint8, shape (images, height, width, 1). In the new one ``group`` has joined
    the near-duplicates, ``split`` is ``train``, ``validation`` or, where drawn, ``test``.
    """
    if config.by == "image":
        joined = table.index.astype(str).tolist()
    else:
        pairs = near_duplicate_pairs(images, table.index.to_numpy(), config.near_duplicate_bits)
        joined = joined_groups(list(table["group"]), pairs)
    groups = pd.Series(joined, table.index)
    trained = table["split"].ne("validation").groupby(groups).transform("any")
    table = table.assign(group=groups, split=np.where(trained, "train", "validation"))
    if config.test_share is not None:
        table.loc[_held_out(table, config.test_share, seed), "split"] = "test"
    if config.validation_share is not None:
        table.loc[table["split"] == "validation", "split"] = "train"
        development = table[table["split"] == "train"]
        held_out = _held_out(development, config.validation_share, seed)
        table.loc[development.index[held_out], "split"] = "validation"
    return table


def near_duplicate_pairs(
    images: NDArray[np.uint8], rows: NDArray[np.int64], max_bits: int
) -> Iterator[tuple[int, int]]:
    """Yield each pair of positions in ``rows`` of the images that shows the same picture.

    Their difference hashes, which an exposure or a compression hardly moves, differ in at most
    ``max_bits`` of 256 bits. Source: Krawetz N. Kind of Like That, 2013 (dHash).
    """
    pictures = (Image.fromarray(np.asarray(images[row, ..., 0])) for row in rows)
    hashes = [imagehash.dhash(picture, HASH_SIDE).hash.ravel() for picture in pictures]
    bits = HASH_SIDE**2
    signs = np.where(np.array(hashes, np.bool_).reshape(-1, bits), 1, -1).astype(np.float32)
    least_product = bits - 2 * max_bits
    for start in range(0, len(signs), BLOCK):
        close = signs[start : start + BLOCK] @ signs.T >= least_product
        for row, column in np.argwhere(np.triu(close, k=start + 1)).tolist():
            yield start + row, column


def joined_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Join the groups of every pair of positions, and of pairs of pairs.

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


def _held_out(table: pd.DataFrame, share: float, seed: int) -> NDArray[np.bool_]:
    """Groups in random order, each taken where no label of a source would exceed its share."""
    counts = pd.crosstab(table["group"], [table["label"], table["source"]])
    limit = np.ceil(share * counts.sum().to_numpy())
    taken = np.zeros_like(limit)
    held_out = []
    for row in np.random.default_rng(seed).permutation(len(counts)):
        with_group = taken + counts.to_numpy()[row]
        if (with_group <= limit).all():
            taken = with_group
            held_out.append(counts.index[row])
    return table["group"].isin(held_out).to_numpy()
