"""How well two masks agree."""

import numpy as np
from numpy.typing import NDArray


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The Dice coefficient of each pair of masks; two empty masks agree wholly.

    Source: Dice 1945, Measures of the Amount of Ecologic Association Between Species.

    Args:
        found: bool, shape (..., rows, columns).
        truth: bool, the same shape.

    Returns:
        Shape (...), 0 to 1.
    """
    shared = 2.0 * (found & truth).sum(axis=(-2, -1))
    total = found.sum(axis=(-2, -1)) + truth.sum(axis=(-2, -1))
    return np.where(total > 0, shared / np.maximum(total, 1), 1.0)
