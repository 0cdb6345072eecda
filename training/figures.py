"""The plots of an evaluation. None shows an image, so all of them may go into a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from training.atomic import atomic_path
from training.metrics import ECE_BINS

SIZE_INCHES = (5, 5)
PANEL_INCHES = (3.2, 2.6)
DPI = 120

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """One finding's probabilities, shape (images,), where it truly is, and its operating point."""

    label: str
    scores: Floats
    truth: Truth
    operating_point: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure of merit over a changing level, each with its interval; ``x`` is rising.

    ``lower`` and ``upper`` have the shape of ``y``, (levels,).
    """

    name: str
    x: Floats
    y: Floats
    lower: Floats
    upper: Floats


def draw_roc(path: Path, findings: Sequence[Scored]) -> None:
    """Draw each finding's ROC curve, with its operating point on it.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _square("1 - specificity", "Sensitivity")
    for finding in findings:
        (line,) = axes.plot(*roc_curve(finding.truth, finding.scores)[:2], label=finding.label)
        present, truth = finding.scores >= finding.operating_point, finding.truth
        axes.plot(present[~truth].mean(), present[truth].mean(), "o", color=line.get_color())
    _mark_operating_points(axes)
    _save(figure, path)


def draw_precision_recall(path: Path, findings: Sequence[Scored]) -> None:
    """Draw each finding's precision-recall curve, with its operating point on it.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _square("Sensitivity (recall)", "Precision")
    for finding in findings:
        precision, recall, _ = precision_recall_curve(finding.truth, finding.scores)
        (line,) = axes.plot(recall, precision, drawstyle="steps-post", label=finding.label)
        present, truth = finding.scores >= finding.operating_point, finding.truth
        if present.any():
            axes.plot(present[truth].mean(), truth[present].mean(), "o", color=line.get_color())
    _mark_operating_points(axes)
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


def draw_scores(path: Path, findings: Sequence[Scored]) -> None:
    """Draw how each finding's probability is spread, where it is present and where it is absent.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, panels = _panels(len(findings), per_row=2)
    for axes, finding in zip(panels, findings, strict=True):
        parts = [finding.scores[finding.truth], finding.scores[~finding.truth]]
        axes.hist(parts, np.linspace(0, 1, 26), label=["present", "absent"])
        axes.set(yscale="symlog", xlabel=f"Probability of {finding.label}", ylabel="Images")
        axes.axvline(
            finding.operating_point, color="black", linestyle="--", label="operating point"
        )
    _save(figure, path, panels[0])


def draw_counts(
    path: Path, table: Sequence[Sequence[int]], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draw a confusion matrix; the shade is the share of the row.

    Args:
        path: A PNG file.
        table: Images, shape (rows, columns).
        rows: The true classes.
        columns: The answers.

    Raises:
        WriteFailed: The file cannot be written.
    """
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="Answer", ylabel="Truth")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    _write(figure, path)


def draw_curves(
    path: Path,
    panels: Sequence[tuple[str, Sequence[Curve]]],
    limits: Sequence[float | None] = (),
) -> None:
    """Draw figures of merit over changing levels, a panel for each change.

    Args:
        path: A PNG file.
        panels: What changes, and the curves over it; the same names in every panel.
        limits: A level of each panel to draw a line at, or None; none at all where empty.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, places = _panels(len(panels), per_row=4)
    lowest = min(curve.lower.min() for _, curves in panels for curve in curves)
    for axes, (title, curves) in zip(places, panels, strict=True):
        for curve in curves:
            (line,) = axes.plot(curve.x, curve.y, "o-", markersize=3, label=curve.name)
            axes.fill_between(
                curve.x, curve.lower, curve.upper, color=line.get_color(), alpha=0.2, linewidth=0
            )
        axes.set(xlabel=title, ylim=(min(0.5, lowest) - 0.02, 1.02))
        axes.grid(alpha=0.3)
    for axes, limit in zip(places, limits, strict=False):
        if limit is not None:
            axes.axvline(limit, color="black", linestyle="--", linewidth=1)
    _save(figure, path, places[0])


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


def _mark_operating_points(axes: Axes) -> None:
    """One entry of the legend for the points of all curves."""
    axes.plot([], [], "o", color="gray", label="operating point")


def _square(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure, axes


def _panels(count: int, per_row: int) -> tuple[Figure, list[Axes]]:
    """As many axes as asked for, in rows; a single one has the size of the other figures."""
    if count == 1:
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        return figure, [figure.subplots()]
    columns = min(count, per_row)
    rows = -(-count // columns)
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows + 0.3), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _save(figure: Figure, path: Path, legend_of: Axes | None = None) -> None:
    """Save with one legend above all axes; of panels that share their names, from one of them."""
    handles = () if legend_of is None else legend_of.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3)
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    with atomic_path(path) as draft:
        figure.savefig(draft)
