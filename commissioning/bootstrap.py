"""The figures of training, for a site: with an interval, drawn anew by patient.

Every figure is worked out for all draws at once, of shape (1 + draws,); the first is of the images
as they are.
"""

import numpy as np
from numpy.typing import NDArray

from training.metrics import Estimate, estimate, macro_auroc, patient_bootstrap

DRAWS = 1000
Array = NDArray[np.float64]
_NONE = Estimate(np.nan, np.nan, np.nan)


def draw(patients: NDArray[np.str_]) -> Array:
    """How often each draw of patients has each image, shape (1 + draws, n)."""
    return patient_bootstrap(patients, seed=0, resamples=DRAWS)


def interval(values: Array, patients: int | None = None) -> Estimate:
    """The figure and its interval; none of the three is a number where the images have none.

    A draw of patients without an error has none either. So an end is never nearer to 1, or to 0,
    than the exact one of so many ``patients`` of whom none, or each, is an error.

    Source: Clopper and Pearson 1934, two-sided 95 %.
    """
    if not np.isfinite(values[0]):
        return _NONE
    value, lower, upper = estimate(values)
    if patients is not None:
        perfect = 0.025 ** (1 / patients)
        lower, upper = min(lower, perfect), max(upper, 1 - perfect)
    return Estimate(value, lower, upper)


def auroc_interval(
    classes: NDArray[np.int64], probabilities: Array, patients: NDArray[np.str_], weights: Array
) -> Estimate:
    """The macro AUROC, none where a class lacks; it knows how few patients the rarest one has."""
    fewest = min(len(np.unique(patients[classes == of])) for of in range(probabilities.shape[1]))
    return interval(macro_auroc(probabilities, classes, weights), fewest) if fewest else _NONE
