"""Figures with an interval, drawn anew by patient.

Every figure is worked out for all draws at once: ``weights`` is float64 (1 + draws, n), how often
each draw has each image; the first is the images as they are.

Source: Efron and Tibshirani 1993, percentile interval.
"""

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
Array = NDArray[np.float64]
Interval = tuple[float, float, float]
"""Value, lower and upper end of the 95 % interval."""


def draw(patients: NDArray[np.str_]) -> Array:
    """The weights of drawing patients with replacement."""
    names, group = np.unique(patients, return_inverse=True)
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    return np.vstack([np.ones(len(patients)), drawn[:, group]])


def interval(values: Array) -> Interval:
    """The figure and its interval, of float64 (1 + draws,); draws that have no figure are left out.

    All three are not numbers where the images as they are have none.
    """
    draws = values[1:][np.isfinite(values[1:])]
    lower, upper = np.percentile(draws, [2.5, 97.5]) if len(draws) else (np.nan, np.nan)
    return float(values[0]), float(lower), float(upper)


def macro_auroc(classes: NDArray[np.int64], probabilities: Array, weights: Array) -> Array:
    """The mean over the classes of one against the rest; not a number where a class lacks.

    Source: Mann and Whitney 1947.
    """
    found = []
    for column in range(probabilities.shape[1]):
        order = np.argsort(probabilities[:, column])
        scores, truth = probabilities[order, column], classes[order] == column
        # Equal scores count for one half against each other.
        starts = np.flatnonzero(np.diff(scores, prepend=-np.inf))
        sick = np.add.reduceat(weights[:, order] * truth, starts, axis=1)
        sound = np.add.reduceat(weights[:, order] * ~truth, starts, axis=1)
        below = np.cumsum(sound, axis=1) - sound / 2
        with np.errstate(invalid="ignore"):
            found.append((sick * below).sum(1) / (sick.sum(1) * sound.sum(1)))
    return np.asarray(np.mean(found, axis=0))
