"""Does a prediction set hold the truth as often as it was promised, in every class and source?

A class is in an image's prediction set where its operating point is met. Points chosen by the rule
``coverage`` promise that the true class is in it for at least the target's share of new images,
class by class, as long as these come from where the validation images come from.

Source: Angelopoulos 2021, A Gentle Introduction to Conformal Prediction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Finding
from training.predictions import Predictions

ALL = "all"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How the prediction sets of a part of the images turned out.

    ``coverage`` is the share whose true class is in its set; ``refer_share`` that whose set has not
    exactly one class, of which ``empty_share`` has none; ``error_answered`` is the share of wrong
    answers among the others, None where all are referred.
    """

    part: str
    images: int
    coverage: float
    refer_share: float
    empty_share: float
    error_answered: float | None


def measure_coverage(predictions: Predictions, findings: Sequence[Finding]) -> tuple[Coverage, ...]:
    """Measure over all images, then for each class, then for each source.

    Args:
        predictions: Of the images to measure on.
        findings: The model's, in output order, with their operating points.
    """
    points = np.array([finding.operating_point for finding in findings], np.float32)
    sets = predictions.probabilities >= points
    return tuple(
        _coverage(part, sets[chosen], predictions.classes[chosen])
        for part, chosen in _parts(predictions, findings)
    )


def _parts(
    predictions: Predictions, findings: Sequence[Finding]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield ALL, np.ones(len(predictions.classes), dtype=bool)
    for number, finding in enumerate(findings):
        if (chosen := predictions.classes == number).any():
            yield finding.label, chosen
    for source in np.unique(predictions.sources):
        yield str(source), predictions.sources == source


def _coverage(part: str, sets: NDArray[np.bool_], classes: NDArray[np.int64]) -> Coverage:
    sizes = sets.sum(axis=1)
    answered = sizes == 1
    wrong = sets[answered].argmax(axis=1) != classes[answered]
    return Coverage(
        part=part,
        images=len(classes),
        coverage=float(sets[np.arange(len(classes)), classes].mean()),
        refer_share=float(1 - answered.mean()),
        empty_share=float((sizes == 0).mean()),
        error_answered=float(wrong.mean()) if answered.any() else None,
    )
