"""All figures of a two-sided evaluation: one finding against the rest, at its operating point."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.decision import decide
from contract.findings import Label
from contract.manifest import Finding, Metric
from training.calibrate import calibrated
from training.metrics import (
    Floats,
    Weights,
    auprc,
    auroc,
    brier,
    confusion,
    estimate,
    expected_calibration_error,
    patient_bootstrap,
    ratio,
    whole,
)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of some images, beside what they are.

    ``logits`` and the calibrated ``probabilities`` are float32, shape (images, classes);
    ``classes`` is int, shape (images,); ``patients`` has one name per image.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    classes: NDArray[np.int64]
    patients: NDArray[np.str_]


def measure(
    predictions: Predictions,
    findings: tuple[Finding, ...],
    positive: Label,
    *,
    dataset: str,
    seed: int,
) -> tuple[Metric, ...]:
    """Measure with 95 % intervals from a bootstrap over patients.

    Args:
        predictions: Of the images to measure on.
        findings: The model's, in output order, with their operating points.
        positive: The finding that sensitivity and its like speak of.
        dataset: What the figures are said to be of.
        seed: Of the bootstrap.
    """
    images = len(predictions.classes)
    values = _figures(predictions, findings, positive, whole(images))
    resampled = _figures(
        predictions, findings, positive, patient_bootstrap(predictions.patients, seed)
    )
    metrics = []
    for name, value in values.items():
        figure = estimate(value, resampled[name])
        metrics.append(
            Metric(
                dataset=dataset,
                name=name,
                value=figure.value,
                lower=figure.lower,
                upper=figure.upper,
                images=images,
            )
        )
    return tuple(metrics)


def _figures(
    predictions: Predictions, findings: tuple[Finding, ...], positive: Label, weights: Weights
) -> Mapping[str, Floats]:
    number = [finding.label for finding in findings].index(positive)
    scores = predictions.probabilities[:, number].astype(np.float64)
    raw = calibrated(predictions.logits, temperature=1.0).astype(np.float64)
    truth = predictions.classes == number
    counts = confusion(scores >= findings[number].operating_point, truth, weights)
    answered, right = _answers(predictions, findings)
    calibrated_error = expected_calibration_error(
        predictions.probabilities.astype(np.float64), predictions.classes, weights
    )
    return {
        "auroc": auroc(scores, truth, weights),
        "auprc": auprc(scores, truth, weights),
        "accuracy": counts.accuracy,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "precision": counts.precision,
        "f1": counts.f1,
        "refer_share": ratio(weights @ ~answered, weights.sum(axis=1)),
        "accuracy_answered": ratio(weights @ right, weights @ answered),
        "ece": calibrated_error,
        "ece_uncalibrated": expected_calibration_error(raw, predictions.classes, weights),
        "brier": brier(scores, truth, weights),
        "brier_uncalibrated": brier(raw[:, number], truth, weights),
        "true_positives": counts.true_positives,
        "false_positives": counts.false_positives,
        "true_negatives": counts.true_negatives,
        "false_negatives": counts.false_negatives,
    }


def _answers(
    predictions: Predictions, findings: tuple[Finding, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images the model would answer rather than refer, and which of those rightly."""
    labels = [finding.label for finding in findings]
    points = [finding.operating_point for finding in findings]
    said = [decide(labels, row, points).label for row in predictions.probabilities.tolist()]
    answered = np.array([label is not None for label in said])
    right = np.array(
        [label == labels[c] for label, c in zip(said, predictions.classes, strict=True)]
    )
    return answered, right
