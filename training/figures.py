"""The plots of an evaluation. None shows an image, so all of them may go into a bundle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

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
    """Draw ``<split>-roc.png``, ``-precision-recall``, ``-reliability`` and ``-answers``.

    Curves are of the ``positive`` finding alone; None draws all. ``answers`` counts images by true
    class and by answer, the last column "refer".
    """
    drawings = {"reliability": _reliability(predictions), "answers": _answers(answers, findings)}
    for number, finding in enumerate(findings):
        truth = predictions.classes == number
        # A finding that all images have, or none, has no curve.
        if positive not in {None, finding.label} or truth.all() or not truth.any():
            continue
        scores = predictions.probabilities[:, number]
        present = scores >= finding.operating_point
        sensitivity = present[truth].mean()
        precision = truth[present].mean() if present.any() else np.nan
        for kind, display, point in (
            ("roc", RocCurveDisplay, (present[~truth].mean(), sensitivity)),
            ("precision-recall", PrecisionRecallDisplay, (sensitivity, precision)),
        ):
            if kind not in drawings:
                drawings[kind] = _figure()
            [axes] = drawings[kind].axes
            display.from_predictions(truth, scores, name=finding.label, ax=axes)
            axes.plot(*point, "o", color=axes.lines[-1].get_color())
    for kind, figure in drawings.items():
        save_figure(figure, folder / f"{split}-{kind}.png")


def draw_curves(path: Path, panels: Sequence[tuple[str, Sequence[Curve]]]) -> None:
    """Draw figures of merit with their 95 % intervals over changing levels, as a PNG.

    Each panel is what changes, and the curves over it; the first has the legend's names.
    """
    rows = -(-len(panels) // PANELS_PER_ROW)
    width, height = PANEL_INCHES
    size = (width * PANELS_PER_ROW, height * rows + 0.3)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    places = figure.subplots(rows, PANELS_PER_ROW, squeeze=False).ravel()
    for spare in places[len(panels) :]:
        spare.remove()
    for axes, (title, curves) in zip(places, panels, strict=False):
        for name, levels, metrics in curves:
            (line,) = axes.plot(levels, [m.value for m in metrics], "o-", markersize=3, label=name)
            lower, upper = [m.lower for m in metrics], [m.upper for m in metrics]
            axes.fill_between(levels, lower, upper, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set(xlabel=title, ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as draft:
        figure.savefig(draft)


def _figure() -> Figure:
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    figure.subplots()
    return figure


def _reliability(predictions: Predictions) -> Figure:
    """Accuracy over confidence, before and after temperature scaling, with the images per bin."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes, below = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    before, after = calibrated(predictions.logits, temperature=1.0), predictions.probabilities
    for name, said in (("before", before), ("after temperature scaling", after)):
        right, sure = said.argmax(axis=1) == predictions.classes, np.minimum(said.max(axis=1), 1)
        CalibrationDisplay.from_predictions(
            right, sure, pos_label=True, n_bins=ECE_BINS, name=name, ax=axes
        )
    colour = axes.lines[-1].get_color()
    counts, _, bars = below.hist(sure, bins=ECE_BINS, range=(0, 1), color=colour)
    below.bar_label(bars, [f"{count:.0f}" if count else "" for count in counts], fontsize=8)
    below.margins(y=0.3)
    axes.set(xlabel="", ylabel="Accuracy")
    below.set(xlabel="Confidence", ylabel="Images")
    return figure


def _answers(table: Counts, findings: Sequence[Finding]) -> Figure:
    """A confusion matrix; the shade is the share of the row."""
    counts, labels = np.array(table), [finding.label for finding in findings]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure()
    [axes] = figure.axes
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(labels) + 1), (*labels, "refer"), rotation=30, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="Answer", ylabel="Truth")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure
