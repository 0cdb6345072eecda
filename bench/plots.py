"""Two plots: throughput against the limit, and latencies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bench.markdown import number
from bench.plan import BUSY_CONNECTIONS
from bench.results import Results, TargetResult

# Light to dark with the number of connections, so that it reads without colour.
SHADES = ("#9ecae1", "#4292c6", "#08519c")
ACCENT = "#d94801"
BAR_HEIGHT = 0.26
DPI = 110


def write_plots(results: Results, folder: Path) -> tuple[Path, ...]:
    """Draw both as PNG files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in {"throughput": throughput(results), "latency": latency(results)}.items():
        path = folder / f"{name}.png"
        # Without the version of matplotlib in it, the same results give the same file.
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
        paths.append(path)
    return tuple(paths)


def throughput(results: Results) -> Figure:
    """Images per second of every target, by number of connections, and the limit as a line."""
    targets = list(results.measured)
    connections = list(targets[0].closed)
    figure, axes = _canvas(targets)
    rows = np.arange(len(targets))
    for place, count in enumerate(connections):
        values = [target.closed[count].load.throughput for target in targets]
        offset = (place - (len(connections) - 1) / 2) * BAR_HEIGHT
        label = f"{count} connection{'' if count == 1 else 's'}"
        bars = axes.barh(rows + offset, values, BAR_HEIGHT, color=SHADES[place % 3], label=label)
        axes.bar_label(bars, fmt="{:.0f}", padding=3, fontsize="small")
    limit = results.limit.images_per_s
    axes.axvline(limit, color=ACCENT, linestyle="--", label=f"in-process limit, {limit:.0f}")
    axes.set_xlabel("images per second (closed loop)")
    axes.margins(x=0.08)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def latency(results: Results) -> Figure:
    """Median to p99 of every target with 16 connections, on a logarithmic scale."""
    targets = [target for target in results.measured if _p50_p99(target)]
    figure, axes = _canvas(targets)
    rows = np.arange(len(targets))
    medians, tails = zip(*[_p50_p99(target) for target in targets], strict=True)
    axes.hlines(rows, medians, tails, color="#bbbbbb", linewidth=3, zorder=1)
    _dots(axes, medians, SHADES[1], "o", "median")
    _dots(axes, tails, ACCENT, "D", "p99")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"milliseconds at {BUSY_CONNECTIONS} connections (logarithmic)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _dots(axes: Axes, values: Sequence[float], colour: str, marker: str, label: str) -> None:
    """One dot in each row, with its value above it."""
    axes.scatter(values, range(len(values)), color=colour, marker=marker, label=label, zorder=2)
    for row, value in enumerate(values):
        axes.annotate(
            number(value), (value, row), (0, 7), textcoords="offset points",
            ha="center", fontsize="small",
        )  # fmt: skip


def _p50_p99(target: TargetResult) -> tuple[float, float] | None:
    load = target.closed[BUSY_CONNECTIONS].load
    return (load.p50_ms, load.p99_ms) if load.p50_ms and load.p99_ms else None


def _canvas(targets: list[TargetResult]) -> tuple[Figure, Axes]:
    """A row for each target, the first one at the top."""
    figure = Figure(figsize=(8, 1.6 + 0.6 * len(targets)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yticks(range(len(targets)), [target.title for target in targets])
    axes.set_ylim(len(targets) - 0.4, -0.6)
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
