"""The pictures of an evaluation: ROC curve, reliability diagram, histogram of scores."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from training.atomic import atomic_path
from training.metrics import ECE_BINS

SIZE_INCHES = (5, 5)
DPI = 120

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


def draw_roc(path: Path, scores: Floats, truth: Truth, operating_point: float) -> None:
    """Draw the ROC curve, with the operating point on it.

    Args:
        path: A PNG file.
        scores: The positive finding's probability, shape (images,).
        truth: bool, shape (images,).
        operating_point: The least probability that counts as present.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _square("1 - specificity", "Sensitivity")
    axes.plot(*roc_curve(truth, scores)[:2])
    present = scores >= operating_point
    axes.plot(present[~truth].mean(), present[truth].mean(), "o", label="operating point")
    _save(figure, path)


def draw_reliability(path: Path, before: Floats, after: Floats, classes: NDArray[np.int64]) -> None:
    """Draw how often the model is right against how sure it is, before and after calibration.

    Args:
        path: A PNG file.
        before: Probabilities without the temperature, shape (images, classes).
        after: Calibrated probabilities, shape (images, classes).
        classes: int, shape (images,): the true class.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _square("Confidence", "Accuracy")
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1)
    for probabilities, label in ((before, "before"), (after, "after temperature scaling")):
        axes.plot(*_reliability(probabilities, classes), "o-", label=label)
    _save(figure, path)


def draw_scores(path: Path, scores: Floats, truth: Truth, operating_point: float) -> None:
    """Draw the scores of both kinds of images, with the operating point.

    Args:
        path: A PNG file.
        scores: The positive finding's probability, shape (images,).
        truth: bool, shape (images,).
        operating_point: The least probability that counts as present.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _square("Probability of the finding", "Images")
    axes.set_ylim(auto=True)
    axes.hist([scores[truth], scores[~truth]], np.linspace(0, 1, 26), label=["present", "absent"])
    axes.set_yscale("symlog")
    axes.axvline(operating_point, color="black", linestyle="--", label="operating point")
    _save(figure, path)


def _reliability(probabilities: Floats, classes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean confidence and accuracy of each bin that holds an image."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    filled = np.unique(bins)
    return (
        np.array([confidence[bins == number].mean() for number in filled]),
        np.array([right[bins == number].mean() for number in filled]),
    )


def _square(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.legend(loc="outside upper center", ncols=3)
    with atomic_path(path) as draft:
        figure.savefig(draft)
