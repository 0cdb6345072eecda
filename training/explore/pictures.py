"""The pictures of an exploration."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from training.atomic import atomic_path
from training.explore.measurement import BINS, THUMBNAIL_SIDE
from training.explore.report import PropertyFacts
from training.explore.shortcuts import LIMIT

DPI = 120
CELL_INCHES = 1.5
TITLE_LETTERS = 20
# Source: Okabe and Ito 2008, Color Universal Design.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MARKERS = "osD^vPX*<>"
LINES = ("-", "--", "-.", ":")
GRID_COLUMNS = 8
LEGEND_INCHES = 1.6
GAP = 3
# A difference of means beyond this many gray levels is drawn in full colour.
FULL_DIFFERENCE = 40

Plane = NDArray[np.uint8]
Mean = NDArray[np.float64]


def draw_means(path: Path, classes: Sequence[str], rows: dict[str, Sequence[Mean | None]]) -> None:
    """Draw mean images: a column per class, a row for all images and for each source.

    Args:
        path: A PNG file.
        classes: The title of each column.
        rows: By the row's title the mean image of each class, shape (96, 96), 0 to 255, or None.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, grid = _grid(len(rows), classes)
    for axes, (title, means) in zip(grid, rows.items(), strict=True):
        axes[0].set_ylabel(textwrap.fill(title, TITLE_LETTERS), fontsize=8)
        for cell, mean in zip(axes, means, strict=True):
            if mean is not None:
                cell.imshow(mean, cmap="gray", vmin=0, vmax=255)
    _save(figure, path)


def draw_differences(path: Path, classes: Sequence[str], differences: Sequence[Mean]) -> None:
    """Draw where the mean image of each class is brighter or darker than that of the others.

    Args:
        path: A PNG file.
        classes: The title of each column.
        differences: Shape (96, 96), gray levels, positive where the class is brighter.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, grid = _grid(1, classes)
    for cell, difference in zip(grid[0], differences, strict=True):
        drawn = cell.imshow(difference, cmap="PuOr_r", vmin=-FULL_DIFFERENCE, vmax=FULL_DIFFERENCE)
    figure.colorbar(drawn, ax=grid, label="gray levels", shrink=0.8)
    _save(figure, path)


def draw_samples(path: Path, thumbnails: Iterable[Plane]) -> None:
    """Put thumbnails side by side, eight in a row.

    Args:
        path: A PNG file.
        thumbnails: uint8, shape (96, 96).

    Raises:
        WriteFailed: The file cannot be written.
    """
    planes = list(thumbnails)
    columns = min(GRID_COLUMNS, len(planes))
    rows = -(-len(planes) // columns)
    pitch = THUMBNAIL_SIDE + GAP
    sheet = np.full((rows * pitch - GAP, columns * pitch - GAP), 255, np.uint8)
    for number, plane in enumerate(planes):
        top, left = (pitch * place for place in divmod(number, columns))
        sheet[top : top + THUMBNAIL_SIDE, left : left + THUMBNAIL_SIDE] = plane
    with atomic_path(path) as draft:
        imsave(draft, sheet, cmap="gray", vmin=0, vmax=255)


def draw_histograms(path: Path, histograms: dict[str, NDArray[np.float64]]) -> None:
    """Draw the mean intensity histogram of each class.

    Args:
        path: A PNG file.
        histograms: By class the share of pixels in each step of gray, shape (64,).

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _plot("Gray level, 0 black to 255 white", "Share of pixels, %", (7, 4))
    grays = (np.arange(BINS) + 0.5) * (256 / BINS)
    for number, (label, histogram) in enumerate(histograms.items()):
        style = LINES[number % len(LINES)]
        axes.plot(grays, 100 * histogram, style, color=_colour(number), label=label)
    _save(figure, path)


def draw_sizes(path: Path, sizes: dict[str, NDArray[np.int64]]) -> None:
    """Draw the width and height of every image.

    Args:
        path: A PNG file.
        sizes: By class the width and height of its images, shape (images, 2), pixels.

    Raises:
        WriteFailed: The file cannot be written.
    """
    figure, axes = _plot("Width, pixels", "Height, pixels", (5, 5))
    for number, (label, pixels) in enumerate(sizes.items()):
        different, counts = np.unique(pixels, axis=0, return_counts=True)
        axes.scatter(
            *different.T,
            s=12 + 60 * counts / len(pixels),
            marker=MARKERS[number % len(MARKERS)],
            facecolors="none",
            edgecolors=_colour(number),
            label=label,
        )
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    _save(figure, path)


def draw_properties(path: Path, properties: Sequence[PropertyFacts]) -> None:
    """Draw how well each property alone tells each class, with the limit of a shortcut.

    Args:
        path: A PNG file.
        properties: From the strongest to the weakest.

    Raises:
        WriteFailed: The file cannot be written.
    """
    classes = [told.label for told in properties[0].told]
    height = 1.4 + len(properties) * (0.2 + 0.11 * len(classes))
    figure, axes = _plot("AUROC with its 95 % interval", "", (7, height))
    for number, label in enumerate(classes):
        told = [each.told[number] for each in properties]
        values = np.array([one.auroc for one in told])
        axes.errorbar(
            values,
            np.arange(len(told)) + 0.5 * ((number + 0.5) / len(classes) - 0.5),
            xerr=np.abs([[one.lower, one.upper] for one in told] - values[:, np.newaxis]).T,
            fmt=MARKERS[number % len(MARKERS)],
            color=_colour(number),
            markersize=4,
            label=label,
        )
    axes.axvline(0.5, color="gray", linewidth=1)
    axes.axvline(LIMIT, color="black", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(properties)), [each.name for each in properties])
    axes.invert_yaxis()
    axes.grid(axis="y", linewidth=0.3)
    _save(figure, path)


def _grid(rows: int, classes: Sequence[str]) -> tuple[Figure, NDArray[np.object_]]:
    size = (0.6 + CELL_INCHES * len(classes), 0.4 + CELL_INCHES * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, len(classes), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, label in zip(grid[0], classes, strict=True):
        axes.set_title(textwrap.fill(label, TITLE_LETTERS), fontsize=9)
    return figure, grid


def _plot(x_label: str, y_label: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label)
    return figure, axes


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _save(figure: Figure, path: Path) -> None:
    if figure.axes[0].get_legend_handles_labels()[1]:
        columns = int(figure.get_figwidth() // LEGEND_INCHES)
        figure.legend(loc="outside upper center", ncols=columns)
    with atomic_path(path) as draft:
        figure.savefig(draft)
