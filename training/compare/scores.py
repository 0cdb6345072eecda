"""The figures that candidates are compared by, with their intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.metrics import (
    Confusion,
    Estimate,
    Floats,
    Weights,
    auroc,
    confusion,
    estimate,
    patient_bootstrap,
    whole,
)


class Scores(BaseModel):
    """How well a candidate does on one split.

    Where the recipe has a positive finding, that one against the rest; otherwise the mean of what
    each finding against the rest gives. Without operating points there is neither sensitivity nor
    specificity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc: Estimate
    sensitivity: Estimate | None
    specificity: Estimate | None


class Answers:
    """What a candidate says of the images of one split.

    Args:
        probabilities: Calibrated, float32, shape (images, classes).
        classes: int, shape (images,): the true classes.
        patients: One name per image.
        positive: The number of the positive finding's output, None where there is none.
    """

    def __init__(
        self,
        probabilities: NDArray[np.float32],
        classes: NDArray[np.int64],
        patients: NDArray[np.str_],
        positive: int | None,
    ) -> None:
        self._probabilities = probabilities.astype(np.float64)
        self._classes = classes
        self._patients = patients
        outputs = range(probabilities.shape[1])
        self._findings = list(outputs) if positive is None else [positive]

    def scores(self, points: Sequence[float] | None, seed: int) -> Scores:
        """Measure, with 95 % intervals from a bootstrap over patients.

        Args:
            points: The operating point of each output, None where there are none.
            seed: Of the bootstrap.
        """
        drawn = patient_bootstrap(self._patients, seed)

        def estimated(figure: Callable[[int, Weights], Floats]) -> Estimate:
            value, resampled = (
                np.mean([figure(finding, weights) for finding in self._findings], axis=0)
                for weights in (whole(len(self._classes)), drawn)
            )
            return estimate(value, resampled)

        def counted(finding: int, weights: Weights) -> Confusion:
            present = self._probabilities[:, finding] >= points[finding]
            return confusion(present, self._classes == finding, weights)

        decided = points is not None
        return Scores(
            auroc=estimated(self._auroc),
            sensitivity=estimated(lambda f, w: counted(f, w).sensitivity) if decided else None,
            specificity=estimated(lambda f, w: counted(f, w).specificity) if decided else None,
        )

    def _auroc(self, finding: int, weights: Weights) -> Floats:
        return auroc(self._probabilities[:, finding], self._classes == finding, weights)
