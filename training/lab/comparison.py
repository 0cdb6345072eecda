"""What a comparison says: its rows, comparison.json, .csv, .png and .html."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from contract.findings import Label
from contract.manifest import Metric
from training.atomic import write_text
from training.figures import save_figure
from training.html import embedded, render
from training.report.tables import title, with_interval
from training.workdir import Workdir

# With a positive finding, and without one.
TWO_SIDED = ("auroc", "sensitivity", "specificity")
ONE_SIDED = ("macro_auroc", "balanced_accuracy", "accuracy")
# Told apart without colour too: networks are filled.
COLOURS = {"network": "#08519c", "classical": "#d94801"}
MARKERS = {"validation": "o", "test": "D"}
OFFSET = 0.16
TICKS = 4

Split = Literal["validation", "test"]
Kind = Literal["network", "classical"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Frozen):
    """One candidate; ``figures`` are by split and name.

    ``parameters`` and ``onnx_bytes`` are of networks alone. ``ms_per_image`` is the median for one
    image on one thread: of a network in ONNX Runtime, of a classical learner in scikit-learn, with
    the description of the image. ``note`` says what is missing, and why.
    """

    name: str
    kind: Kind
    figures: dict[Split, dict[str, Metric]] = {}
    parameters: int | None = None
    onnx_bytes: int | None = None
    ms_per_image: float | None = None
    note: str = ""


class Comparison(_Frozen):
    """comparison.json: all candidates on one split.

    ``rows`` fall by their validation AUROC, never by that of the test; those without one come last.
    ``splits`` gives the number of images of each split that was used; ``figures`` names what is
    compared, the AUROC first.
    """

    recipe: str
    dataset: str
    data_digest: str
    classes: tuple[Label, ...]
    positive: Label | None
    splits: dict[str, int]
    figures: tuple[str, ...]
    rows: tuple[Row, ...]


def figure_names(positive: Label | None) -> tuple[str, ...]:
    """What candidates are compared by, the AUROC first."""
    return ONE_SIDED if positive is None else TWO_SIDED


def ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Put candidates in order, the highest validation AUROC first."""

    def merit(row: Row) -> float:
        figures = row.figures.get("validation", {})
        return next((m.value for n, m in figures.items() if n.endswith("auroc")), -1.0)

    return tuple(sorted(rows, key=merit, reverse=True))


def write_comparison(work: Workdir, comparison: Comparison) -> None:
    """Write a comparison into its workdir.

    Raises:
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    figure = draw_comparison(comparison)
    save_figure(figure, work.root / "comparison.png")
    table = pd.DataFrame([dict(_cells(row, comparison)) for row in comparison.rows])
    work.write_table(work.root / "comparison.csv", table)
    write_text(work.root / "comparison.html", render_page(comparison, figure))
    work.write_json(work.root / "comparison.json", comparison)


def render_page(comparison: Comparison, figure: Figure) -> str:
    """Put a comparison and its picture into one HTML page; every name in it is escaped."""
    return render(
        "lab/compare.html.j2",
        comparison=comparison,
        picture=embedded(figure),
        title=title,
        interval=with_interval,
    )


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw each figure of each candidate with its 95 % interval, a panel for each figure."""
    rows, names = comparison.rows, comparison.figures
    splits = [split for split in MARKERS if split in comparison.splits]
    figure = Figure(figsize=(10, 1.5 + 0.36 * len(rows)), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, width_ratios=(2, 1, 1))
    for name, axes in zip(names, panels, strict=True):
        axes.set_title(title(name), fontsize="medium")
        axes.xaxis.set_major_locator(MaxNLocator(TICKS, steps=(1, 2, 2.5, 5, 10)))
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x", color="#e5e5e5")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        for turn, split in enumerate(splits):
            offset = (turn - (len(splits) - 1) / 2) * 2 * OFFSET
            for kind, colour in COLOURS.items():
                found = [
                    (number + offset, row.figures[split][name])
                    for number, row in enumerate(rows)
                    if row.kind == kind and name in row.figures.get(split, {})
                ]
                if found:
                    axes.errorbar(
                        [m.value for _, m in found],
                        [place for place, _ in found],
                        xerr=np.abs([[m.lower - m.value, m.upper - m.value] for _, m in found]).T,
                        fmt=MARKERS[split],
                        color=colour,
                        markerfacecolor=colour if kind == "network" else "white",
                        markersize=5,
                        label=f"{kind}, {split}",
                    )
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _cells(row: Row, comparison: Comparison) -> Iterator[tuple[str, object]]:
    yield from (("candidate", row.name), ("kind", row.kind))
    for split in comparison.splits:
        for name in comparison.figures if split != "train" else ():
            metric = row.figures.get(split, {}).get(name)
            for part in ("value", "lower", "upper"):
                column = f"{split}_{name}" if part == "value" else f"{split}_{name}_{part}"
                yield column, getattr(metric, part, None)
    yield from row.model_dump(include={"parameters", "onnx_bytes", "ms_per_image", "note"}).items()


def summary(comparison: Comparison) -> Table:
    """The comparison for a terminal: each candidate's AUROC, the best one first."""
    splits = [split for split in MARKERS if split in comparison.splits]
    table = Table("candidate", *(f"AUROC, {split}" for split in splits), "note")
    for row in comparison.rows:
        metrics = [row.figures.get(split, {}).get(comparison.figures[0]) for split in splits]
        table.add_row(row.name, *(with_interval(m) if m else "-" for m in metrics), row.note)
    return table
