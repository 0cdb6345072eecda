"""The plots of an evaluation. None shows an image, so all of them may go into a bundle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from contract.findings import Label
from contract.manifest import Finding, Metric
from training.atomic import atomic_path
from training.calibrate import calibrated
from training.metrics import ECE_BINS
from training.predictions import Counts, Predictions

DPI = 120
SIZE_INCHES = (5, 5)
PANEL_INCHES = (3.2, 2.6)
PANELS_PER_ROW = 4
UNIT = (-0.02, 1.02)

Curve = tuple[str, Sequence[float], Sequence[Metric]]
"""A name, rising levels, and the figure at each level."""


def draw_evaluation(
    folder: Path,
    split: str,
    predictions: Predictions,
    findings: Sequence[Finding],
    positive: Label | None,
    answers: Counts,
) -> None:
    """Draw ``<split>-roc.png``, ``-precision-recall``, ``-reliability``, ``-scores``, ``-answers``.

    Args:
        folder: Where to write.
        split: The evaluated split.
        predictions: What the model says of it.
        findings: In output order, with their operating points.
        positive: The only finding to draw; None draws all.
        answers: Images by true class and by answer, the last column "refer".

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    labels = [finding.label for finding in findings]
    shown = [
        (
            finding,
            predictions.probabilities[:, number].astype(np.float64),
            predictions.classes == number,
        )
        for number, finding in enumerate(findings)
        if positive in {None, finding.label}
    ]
    drawings = {
        "reliability": _reliability(predictions),
        "scores": _scores(shown),
        "answers": _answers(answers, labels),
    }
    # A finding that all images have, or none, has no curve.
    if curved := [one for one in shown if one[2].any() and not one[2].all()]:
        drawings |= {"roc": _roc(curved), "precision-recall": _precision_recall(curved)}
    for kind, figure in drawings.items():
        save_figure(figure, folder / f"{split}-{kind}.png")


def draw_curves(path: Path, panels: Sequence[tuple[str, Sequence[Curve]]]) -> None:
    """Draw figures of merit with their 95 % intervals over changing levels.

    Args:
        path: A PNG file.
        panels: What changes, and the curves over it; the first panel has the legend's names.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, places = _panels(len(panels), PANELS_PER_ROW)
    for axes, (title, curves) in zip(places, panels, strict=True):
        for name, levels, metrics in curves:
            (line,) = axes.plot(levels, [m.value for m in metrics], "o-", markersize=3, label=name)
            lower, upper = [m.lower for m in metrics], [m.upper for m in metrics]
            axes.fill_between(levels, lower, upper, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set(xlabel=title, ylim=UNIT)
        axes.grid(alpha=0.3)
    _legend(figure, places[0])
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises:
        WriteFailed: The file cannot be written.
    """
    with atomic_path(path) as draft:
        figure.savefig(draft)


Shown = Sequence[tuple[Finding, NDArray[np.float64], NDArray[np.bool_]]]
"""Findings, their probabilities, and where they truly are; each shape (images,)."""


def _roc(findings: Shown) -> Figure:
    figure, axes = _square("1 - specificity", "Sensitivity")
    for finding, scores, truth in findings:
        (line,) = axes.plot(*roc_curve(truth, scores)[:2], label=finding.label)
        present = scores >= finding.operating_point
        axes.plot(present[~truth].mean(), present[truth].mean(), "o", color=line.get_color())
    axes.plot([], [], "o", color="gray", label="operating point")
    return _legend(figure, axes)


def _precision_recall(findings: Shown) -> Figure:
    figure, axes = _square("Sensitivity (recall)", "Precision")
    for finding, scores, truth in findings:
        precision, recall, _ = precision_recall_curve(truth, scores)
        (line,) = axes.plot(recall, precision, drawstyle="steps-post", label=finding.label)
        present = scores >= finding.operating_point
        if present.any():
            axes.plot(present[truth].mean(), truth[present].mean(), "o", color=line.get_color())
    axes.plot([], [], "o", color="gray", label="operating point")
    return _legend(figure, axes)


def _reliability(predictions: Predictions) -> Figure:
    """Accuracy over confidence, before and after temperature scaling."""
    figure, axes = _square("Confidence", "Accuracy")
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1)
    before = calibrated(predictions.logits, temperature=1.0)
    for name, said in (
        ("before", before),
        ("after temperature scaling", predictions.probabilities),
    ):
        right = said.argmax(axis=1) == predictions.classes
        accuracy, confidence = calibration_curve(
            right, np.minimum(said.max(axis=1), 1), pos_label=True, n_bins=ECE_BINS
        )
        axes.plot(confidence, accuracy, "o-", label=name)
    return _legend(figure, axes)


def _scores(findings: Shown) -> Figure:
    """The probabilities of the images with a finding and of those without it."""
    figure, panels = _panels(len(findings), per_row=2)
    for axes, (finding, scores, truth) in zip(panels, findings, strict=True):
        parts = [scores[truth], scores[~truth]]
        axes.hist(parts, np.linspace(0, 1, 26), label=["present", "absent"])
        axes.set(yscale="symlog", xlabel=f"Probability of {finding.label}", ylabel="Images")
        axes.axvline(finding.operating_point, color="black", ls="--", label="operating point")
    return _legend(figure, panels[0])


def _answers(table: Counts, labels: Sequence[str]) -> Figure:
    """A confusion matrix; the shade is the share of the row."""
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(labels) + 1), (*labels, "refer"), rotation=30, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="Answer", ylabel="Truth")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure


def _square(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label, xlim=UNIT, ylim=UNIT)
    return figure, axes


def _panels(count: int, per_row: int) -> tuple[Figure, list[Axes]]:
    """As many axes as asked for, in rows; a single one has the size of the other figures."""
    columns = min(count, per_row)
    rows = -(-count // columns)
    width, height = PANEL_INCHES
    size = SIZE_INCHES if count == 1 else (width * columns, height * rows + 0.3)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _legend(figure: Figure, axes: Axes) -> Figure:
    """One legend above all panels, which share their names."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
