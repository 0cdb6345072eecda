"""Figures of merit, each computed for many weightings of the same images at once.

A weighting says how often each image counts. The first row of ``patient_bootstrap`` gives the
figure itself, the others its distribution under another draw of patients. A figure is not a number
for a weighting that lacks one of the classes.

``scores``, higher is more positive, ``truth``, bool, and ``classes`` and ``said``, the true class
and the answered one, have the shape (images,); ``probabilities`` (images, classes); ``weights``
(weightings, images). Each figure has the shape (weightings,) and lies between 0 and 1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = NDArray[np.float64]
"""Shape (weightings, images), not negative."""

RESAMPLES = 2000
ECE_BINS = 15


class Estimate(NamedTuple):
    """A figure and its 95 % interval, named as in ``contract.manifest.Metric``."""

    value: float
    lower: float
    upper: float


def confusion(
    present: NDArray[np.bool_], truth: NDArray[np.bool_], weights: Weights
) -> dict[str, Floats]:
    """The four counts, ``true_positives`` and so on, and what follows from them, by name."""
    tp, fp = weights @ (present & truth), weights @ (present & ~truth)
    tn, fn = weights @ (~present & ~truth), weights @ (~present & truth)
    return {
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        "accuracy": ratio(tp + tn, tp + fp + tn + fn),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "precision": ratio(tp, tp + fp),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def auroc(scores: Floats, truth: NDArray[np.bool_], weights: Weights) -> Floats:
    """The probability that a positive image scores above a negative one; a tie counts half."""
    positives, negatives = _by_score(scores, truth, weights)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    wins = (positives * below).sum(axis=1)
    return ratio(wins, positives.sum(axis=1) * negatives.sum(axis=1))


def macro_auroc(probabilities: Floats, classes: NDArray[np.int64], weights: Weights) -> Floats:
    """The mean AUROC of each class against the others, every class with the same say.

    A class that no image has, or that all have, has no AUROC and no say.
    """
    present = np.unique(classes)
    if len(present) < 2:
        return np.full(len(weights), np.nan)
    return np.mean([auroc(probabilities[:, c], classes == c, weights) for c in present], axis=0)


def balanced_accuracy(
    said: NDArray[np.int64], classes: NDArray[np.int64], weights: Weights
) -> Floats:
    """The share of right answers within each class, averaged over the classes that are there."""
    right = said == classes
    shares = []
    for number in np.unique(classes):
        members = classes == number
        shares.append(ratio(weights @ (members & right), weights @ members))
    return np.mean(shares, axis=0)


def auprc(scores: Floats, truth: NDArray[np.bool_], weights: Weights) -> Floats:
    """Average precision: the area under the precision-recall curve, without interpolation."""
    positives, negatives = (part[:, ::-1] for part in _by_score(scores, truth, weights))
    found = np.cumsum(positives, axis=1)
    called = found + np.cumsum(negatives, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1))


def brier(probabilities: Floats, classes: NDArray[np.int64], weights: Weights) -> Floats:
    """Half the squared distance of a distribution from the truth: Brier 1950, halved."""
    truth = np.eye(probabilities.shape[1])[classes]
    distance = ((probabilities - truth) ** 2).sum(axis=1) / 2
    return ratio(weights @ distance, weights.sum(axis=1))


def expected_calibration_error(
    probabilities: Floats, classes: NDArray[np.int64], weights: Weights
) -> Floats:
    """How far confidence and accuracy lie apart, over 15 bins of equal width: Guo 2017."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    membership = np.eye(ECE_BINS)[bins]
    gaps = np.abs(weights @ (membership * (right - confidence)[:, np.newaxis]))
    return ratio(gaps.sum(axis=1), weights.sum(axis=1))


def patient_bootstrap(patients: NDArray[np.str_], seed: int, resamples: int = RESAMPLES) -> Weights:
    """Weigh every image once, then as often as draws of patients with replacement have it.

    All images of a patient come along: they are no independent evidence, so an interval from a draw
    of images would be too narrow. The shape is (1 + resamples, images).
    """
    names, owner = np.unique(patients, return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return np.vstack([np.ones(len(owner)), drawn[:, owner]])


def estimate(values: Floats) -> Estimate:
    """A figure by each weighting of ``patient_bootstrap``, with its percentile interval."""
    lower, upper = np.nanpercentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[0]), float(lower), float(upper))


def ratio(part: Floats, total: Floats) -> Floats:
    """A share of a total; not a number where the total is zero."""
    return np.divide(part, total, out=np.full_like(total, np.nan), where=total > 0)


def _by_score(scores: Floats, truth: NDArray[np.bool_], weights: Weights) -> tuple[Floats, Floats]:
    """The weight of the positive and of the negative images at each distinct score, rising."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ordered, positive = weights[:, order], truth[order]
    return (
        np.add.reduceat(ordered * positive, starts, axis=1),
        np.add.reduceat(ordered * ~positive, starts, axis=1),
    )
