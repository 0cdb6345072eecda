"""Does a prediction set hold the truth as often as it was promised, in every class and source?

A class is in an image's prediction set where its probability reaches a point that was chosen on the
validation images. The promise is that the true class is in the set for at least a stated share of
new images, class by class, as long as these come from where the validation images come from. An
image whose set does not have exactly one class is referred to a person.

Source: Angelopoulos 2021, A Gentle Introduction to Conformal Prediction.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.findings import Label
from contract.manifest import Metric
from training.calibrate import operating_point
from training.config import OperatingPointConfig
from training.evaluation import LEAST_IMAGES
from training.metrics import Floats, Weights, estimate, patient_bootstrap, ratio, whole
from training.predictions import Predictions

COVERAGE = 0.9
PREFIX = "conformal_"

Points = NDArray[np.float32]
Part = tuple[Label | None, str | None, NDArray[np.bool_]]


def coverage_points(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64], labels: Sequence[Label]
) -> Points:
    """Choose the least probability at which each class is in a prediction set.

    Args:
        probabilities: Of the validation images, float32, shape (images, classes).
        classes: int, shape (images,): their true classes.
        labels: The classes, in output order.

    Returns:
        float32, shape (classes,).

    Raises:
        CalibrationError: A class has too few images for the coverage.
    """
    rules = [OperatingPointConfig(label=la, rule="coverage", target=COVERAGE) for la in labels]
    return np.array(
        [
            operating_point(probabilities[np.newaxis, :, number], classes == number, rule)
            for number, rule in enumerate(rules)
        ],
        np.float32,
    )


def measure_coverage(
    predictions: Predictions,
    points: Points,
    labels: Sequence[Label],
    *,
    dataset: str,
    seed: int,
) -> tuple[Metric, ...]:
    """Measure over all images, then for each class, then for each source that has enough images.

    Args:
        predictions: Of the images to measure on, with what the gates say of them.
        points: From ``coverage_points``.
        labels: The classes, in output order.
        dataset: What the figures are said to be of.
        seed: Of the bootstrap over patients.

    Returns:
        Of each part ``conformal_coverage``, the share whose true class is in its set, whatever the
        gates say; ``conformal_refer_share``, the share that a gate stops or whose set has not
        exactly one class; and, where any is answered, ``conformal_error_answered``, the share of
        wrong answers among those.
    """
    sets = predictions.probabilities >= points
    answered = sets.sum(axis=1) == 1
    if predictions.gated is not None:
        answered &= ~predictions.gated
    covered = sets[np.arange(len(sets)), predictions.classes]
    drawn = patient_bootstrap(predictions.patients, seed)
    metrics = []
    for label, source, rows in _parts(predictions, labels):
        images = int(rows.sum())
        resampled = _figures(covered[rows], answered[rows], drawn[:, rows])
        for name, value in _figures(covered[rows], answered[rows], whole(images)).items():
            if np.isfinite(value[0]):
                found = estimate(value, resampled[name])
                metrics.append(found.metric(dataset, PREFIX + name, images, label, source))
    return tuple(metrics)


def _parts(predictions: Predictions, labels: Sequence[Label]) -> Iterator[Part]:
    yield None, None, np.ones(len(predictions.classes), dtype=bool)
    for number, label in enumerate(labels):
        if (chosen := predictions.classes == number).any():
            yield label, None, chosen
    names, counts = np.unique(predictions.sources, return_counts=True)
    for name in names[counts >= LEAST_IMAGES].tolist() if len(names) > 1 else ():
        yield None, name, predictions.sources == name


def _figures(
    covered: NDArray[np.bool_], answered: NDArray[np.bool_], weights: Weights
) -> dict[str, Floats]:
    total = weights.sum(axis=1)
    return {
        "coverage": ratio(weights @ covered, total),
        "refer_share": ratio(weights @ ~answered, total),
        # Of an answered image the one class in its set is the answer.
        "error_answered": ratio(weights @ (answered & ~covered), weights @ answered),
    }
