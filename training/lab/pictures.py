"""The pictures of an exploration, as data URIs."""

import io
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from training.html import embedded
from training.lab.shortcuts import LIMIT, Property
from training.lab.survey import THUMBNAIL_SIDE

DPI = 120
CELL_INCHES = 1.5
TITLE_LETTERS = 20
# Source: Okabe and Ito 2008, Color Universal Design.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MARKERS = "osD^vPX*<>"
LINES = ("-", "--", "-.", ":")
SHEET_COLUMNS = 8
LEGEND_INCHES = 1.6
GAP = 3
# A difference of means beyond this many gray levels is drawn in full colour.
FULL_DIFFERENCE = 40
BINS = 64

Thumbnails = NDArray[np.uint8]
"""Shape (images, 96, 96)."""
Mean = NDArray[np.float64]


def draw_means(classes: Sequence[str], rows: Mapping[str, Sequence[Thumbnails]]) -> str:
    """Draw mean images: a column per class, a row for all images and for each source.

    Args:
        classes: The title of each column.
        rows: By the row's title the images of each class; an empty cell stays empty.
    """
    figure, grid = _grid(len(rows), classes)
    for axes, (title, cells) in zip(grid, rows.items(), strict=True):
        axes[0].set_ylabel(textwrap.fill(title, TITLE_LETTERS), fontsize=8)
        for cell, images in zip(axes, cells, strict=True):
            if len(images):
                cell.imshow(images.mean(axis=0), cmap="gray", vmin=0, vmax=255)
    return embedded(figure)


def draw_differences(classes: Sequence[str], differences: Sequence[Mean]) -> str:
    """Draw where the mean image of each class is brighter or darker than that of the others.

    Args:
        classes: The title of each column.
        differences: Shape (96, 96), gray levels, positive where the class is brighter.
    """
    figure, grid = _grid(1, classes)
    for cell, difference in zip(grid[0], differences, strict=True):
        drawn = cell.imshow(difference, cmap="PuOr_r", vmin=-FULL_DIFFERENCE, vmax=FULL_DIFFERENCE)
    figure.colorbar(drawn, ax=grid, label="gray levels", shrink=0.8)
    return embedded(figure)


def draw_samples(thumbnails: Thumbnails) -> str:
    """Put thumbnails side by side, eight in a row."""
    columns = min(SHEET_COLUMNS, len(thumbnails))
    rows, pitch = -(-len(thumbnails) // columns), THUMBNAIL_SIDE + GAP
    sheet = np.full((rows * pitch - GAP, columns * pitch - GAP), 255, np.uint8)
    for number, plane in enumerate(thumbnails):
        top, left = (pitch * place for place in divmod(number, columns))
        sheet[top : top + THUMBNAIL_SIDE, left : left + THUMBNAIL_SIDE] = plane
    file = io.BytesIO()
    imsave(file, sheet, cmap="gray", vmin=0, vmax=255, format="png")
    return embedded(file.getvalue())


def draw_grays_and_sizes(table: pd.DataFrame, thumbnails: Thumbnails) -> str:
    """Draw the intensity histogram of each class, and the width and height of its images.

    Args:
        table: Of a ``Survey``.
        thumbnails: Its images.
    """
    figure = Figure(figsize=(11, 4.5), dpi=DPI, layout="constrained")
    grays, sizes = figure.subplots(1, 2)
    for number, (label, images) in enumerate(table.groupby("label")):
        colour, name = _colour(number), str(label)
        counts, edges = np.histogram(thumbnails[images.index], bins=BINS, range=(0, 256))
        style = LINES[number % len(LINES)]
        grays.plot(edges[:-1], 100 * counts / counts.sum(), style, color=colour, label=name)
        different = images.value_counts(["columns", "rows"])
        sizes.scatter(
            *np.array(different.index.tolist()).T,
            s=12 + 60 * different / len(images),
            marker=MARKERS[number % len(MARKERS)],
            facecolors="none",
            edgecolors=colour,
        )
    grays.set(xlabel="Gray level, 0 black to 255 white", ylabel="Share of pixels, %")
    sizes.set(xlabel="Width, pixels", ylabel="Height, pixels")
    return _with_legend(figure)


def draw_properties(properties: Sequence[Property]) -> str:
    """Draw how well each property alone tells each class, with the limit of a shortcut.

    Args:
        properties: From the strongest to the weakest.
    """
    classes = [signal.label for signal in properties[0].signals]
    height = 1.4 + len(properties) * (0.2 + 0.11 * len(classes))
    figure = Figure(figsize=(7, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="AUROC with its 95 % interval")
    for number, label in enumerate(classes):
        signals = [each.signals[number] for each in properties]
        values = np.array([one.auroc for one in signals])
        axes.errorbar(
            values,
            np.arange(len(signals)) + 0.5 * ((number + 0.5) / len(classes) - 0.5),
            xerr=np.abs([[one.lower, one.upper] for one in signals] - values[:, np.newaxis]).T,
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
    return _with_legend(figure)


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


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _with_legend(figure: Figure) -> str:
    figure.legend(loc="outside upper center", ncols=int(figure.get_figwidth() // LEGEND_INCHES))
    return embedded(figure)
