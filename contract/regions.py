"""Connected regions of a mask, as pure functions."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def label_regions(mask: Mask) -> NDArray[np.int64]:
    """Number the regions whose pixels touch side by side or one above the other.

    Args:
        mask: bool, shape (rows, columns).

    Returns:
        int64, the same shape: 0 outside, 1 and up for the regions.

    Source: Rosenfeld 1966, Sequential Operations in Digital Picture Processing; by runs of pixels.
    """
    starts = mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    run = np.cumsum(starts).reshape(mask.shape) - 1
    # Where two runs lie one above the other, one of them starts at the first pixel that they share.
    meeting = mask[1:] & mask[:-1] & (starts[1:] | starts[:-1])
    pairs = np.stack([run[:-1][meeting], run[1:][meeting]])
    names = _joined(int(starts.sum()), pairs)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = names[run[mask]] + 1
    return labels


def region_sizes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels each region has; the first entry is that of region 1."""
    return np.bincount(labels.ravel())[1:]


def without_holes(mask: Mask) -> Mask:
    """Fill what the mask encloses on all sides.

    Args:
        mask: bool, shape (rows, columns).
    """
    # The margin joins all of the outside, also where the mask divides it.
    outside = label_regions(np.pad(~mask, 1, constant_values=True))
    filled: Mask = outside[1:-1, 1:-1] != outside[0, 0]
    return filled


def _joined(runs: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the regions that the runs form, given which of them touch."""
    parent = list(range(runs))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    for first, second in pairs.T.tolist():
        parent[root(second)] = root(first)
    roots = np.array([root(run) for run in range(runs)], np.int64)
    names: NDArray[np.int64] = np.unique(roots, return_inverse=True)[1]
    return names
