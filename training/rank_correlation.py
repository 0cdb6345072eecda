"""How far two series rise and fall together."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation, ties at their mean rank.

    Source: Spearman 1904, The Proof and Measurement of Association between Two Things.

    Args:
        first: Shape (items,).
        second: Shape (items,).

    Returns:
        -1 to 1; not a number where either is constant.
    """
    ranks = np.stack([rankdata(first), rankdata(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1)).prod()
    return float((ranks[0] * ranks[1]).sum() / spread) if spread else float("nan")
