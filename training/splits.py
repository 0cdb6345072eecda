"""The splits: taken by group of patients and near-duplicates, never by image."""

import re

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
        table: One row per image; its index numbers rows of ``images``.
        images: uint8, shape (images, height, width, 1).
        config: What counts as the same, and how much is held out.
        seed: Of what is drawn at random.

    Returns:
        A new table; ``group`` has joined the near-duplicates, ``split`` is ``train``,
        ``validation`` or, where a test split is drawn, ``test``.
    """
    grouped = with_groups(table, images, config.near_duplicate_bits)
    if config.test_share is None:
        return with_validation(grouped, config, seed)
    held_out = _random_groups(grouped, config.test_share, seed)
    test = grouped[held_out].assign(split="test")
    rest = with_validation(grouped[~held_out], config, seed)
    return pd.concat([rest, test]).sort_index()


def with_groups(
    table: pd.DataFrame, images: NDArray[np.uint8], near_duplicate_bits: int
) -> pd.DataFrame:
    """Join the groups of images that are near-duplicates.

    Args:
        table: One row per image, with a column ``group``; its index numbers rows of ``images``.
        images: uint8, shape (images, height, width, 1).
        near_duplicate_bits: The largest distance between the hashes of two near-duplicates.

    Returns:
        A new table; only ``group`` differs.
    """
    hashes = difference_hashes(images, table.index.to_numpy())
    pairs = near_duplicate_pairs(hashes, near_duplicate_bits)
    return table.assign(group=joined_groups(list(table["group"]), pairs))


def with_validation(table: pd.DataFrame, config: SplitConfig, seed: int) -> pd.DataFrame:
    """Mark each row ``train`` or ``validation``; a group is never cut.

    Args:
        table: One row per image, with the columns ``label``, ``patient``, ``group``, ``source``.
        config: The strategy and the share of the validation split.
        seed: Of the random strategy.

    Returns:
        A new table; only ``split`` differs.
    """
    if config.strategy == "block":
        held_out = _lowest_numbers(table, config.validation_share)
    else:
        held_out = _random_groups(table, config.validation_share, seed)
    return table.assign(split=np.where(held_out, "validation", "train"))


def _random_groups(table: pd.DataFrame, share: float, seed: int) -> NDArray[np.bool_]:
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


def _lowest_numbers(table: pd.DataFrame, share: float) -> NDArray[np.bool_]:
    """Of each series of patient numbers, the groups of its lowest ones."""
    parts = table["patient"].map(_series_and_number)
    numbers = pd.DataFrame(parts.tolist(), columns=["series", "number"], index=table.index)
    unique = numbers.drop_duplicates()
    rank = unique.groupby("series")["number"].rank(pct=True)
    lowest = set(map(tuple, unique[rank <= share].to_numpy()))
    chosen = [tuple(row) in lowest for row in numbers.to_numpy()]
    return table["group"].isin(table["group"][chosen]).to_numpy()


def _series_and_number(patient: str) -> tuple[str, int]:
    """``train-person123`` is number 123 of the series ``train-person``."""
    match = re.fullmatch(r"(.*?)(\d*)", patient)
    return match[1], int(match[2] or 0)
