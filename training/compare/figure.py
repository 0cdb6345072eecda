"""comparison.png: how well each candidate separates, and what it answers at its operating point."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.atomic import atomic_path
from training.compare.comparison import FIGURES, Comparison, Row

DPI = 120
# Told apart without colour too: networks are filled.
COLOURS = {"network": "#08519c", "classical": "#d94801"}
TITLES = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
MARKERS = {"validation": "o", "test": "D"}
OFFSET = 0.16
TICKS = 4


def draw_comparison(path: Path, comparison: Comparison) -> None:
    """Draw each figure of each candidate with its 95 % interval.

    Args:
        path: A PNG file.
        comparison: What to draw; candidates without figures have an empty line.

    Raises:
        WriteFailed: The file cannot be written.
    """
    rows, splits = comparison.rows, comparison.measured
    figure = Figure(figsize=(10, 1.5 + 0.36 * len(rows)), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(FIGURES), sharey=True, width_ratios=(2, 1, 1))
    for name, axes in zip(FIGURES, panels, strict=True):
        _prepare(axes, TITLES[name], [row.name for row in rows])
        for place, split in enumerate(splits):
            offset = (place - (len(splits) - 1) / 2) * 2 * OFFSET
            _draw(axes, name, split, rows, offset)
    _explain(figure, rows, splits)
    with atomic_path(path) as draft:
        figure.savefig(draft)


def _prepare(axes: Axes, title: str, names: Sequence[str]) -> None:
    axes.set_title(title, fontsize="medium")
    axes.xaxis.set_major_locator(MaxNLocator(TICKS, steps=(1, 2, 2.5, 5, 10)))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw(axes: Axes, name: str, split: str, rows: Sequence[Row], offset: float) -> None:
    for number, row in enumerate(rows):
        found = row.figure(split, name)
        if found is None:
            continue
        colour, place = COLOURS[row.kind], number + offset
        axes.plot([found.lower, found.upper], [place, place], color=colour, linewidth=1.5)
        axes.plot(
            found.value,
            place,
            MARKERS[split],
            color=colour,
            markerfacecolor=colour if row.kind == "network" else "white",
            markersize=5,
        )


def _explain(figure: Figure, rows: Sequence[Row], splits: Sequence[str]) -> None:
    """A legend of what there is: kinds by colour and filling, splits by shape."""
    kinds = [kind for kind in COLOURS if any(row.kind == kind for row in rows)]
    axes = figure.axes[0]
    handles = []
    for kind in kinds:
        for split in splits:
            label = f"{kind}, {split}"
            filling = COLOURS[kind] if kind == "network" else "white"
            handles += axes.plot(
                [], [], MARKERS[split], color=COLOURS[kind], markerfacecolor=filling, label=label
            )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
