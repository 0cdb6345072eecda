"""The figures of training, for a site: with an interval, drawn anew by patient.

Every figure is worked out for all draws at once, of shape (1 + draws,); the first is of the images
as they are.
"""

import numpy as np
from numpy.typing import NDArray

from training.metrics import Estimate, auroc, estimate, patient_bootstrap

DRAWS = 1000
Array = NDArray[np.float64]


def draw(patients: NDArray[np.str_]) -> Array:
    """How often each draw of patients has each image, shape (1 + draws, n)."""
    return patient_bootstrap(patients, seed=0, resamples=DRAWS)


def interval(values: Array) -> Estimate:
    """The figure and its interval; none of the three is a number where the images have none."""
    return estimate(values) if np.isfinite(values[0]) else Estimate(np.nan, np.nan, np.nan)


def macro_auroc(classes: NDArray[np.int64], probabilities: Array, weights: Array) -> Array:
    """The mean over the classes of one against the rest; not a number where a class lacks."""
    aurocs = [auroc(of, classes == number, weights) for number, of in enumerate(probabilities.T)]
    return np.asarray(np.mean(aurocs, axis=0))
