"""The splits: taken by group of patients and near-duplicates; by image only to show the harm."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.config import SplitConfig
from training.near_duplicates import difference_hashes, joined_groups, near_duplicate_pairs


def drawn_splits(
    table: pd.DataFrame, images: NDArray[np.uint8], config: SplitConfig, seed: int
) -> pd.DataFrame:
    """Draw every split that is not official.

    Args:
        table: One row per image, with the columns ``label``, ``group`` and ``source``; its index
            numbers rows of ``images``.
        images: uint8, shape (images, height, width, 1).
        config: What counts as the same, and how much is held out.
        seed: Of the draw.

    Returns:
        A new table; ``group`` has joined the near-duplicates, ``split`` is ``train``,
        ``validation`` or, where a test split is drawn, ``test``. A group is never cut.
    """
    if config.by == "image":
        joined = table.index.astype(str).tolist()
    else:
        hashes = difference_hashes(images, table.index.to_numpy())
        pairs = near_duplicate_pairs(hashes, config.near_duplicate_bits)
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
