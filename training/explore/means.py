"""Mean images of the classes and sources of a survey."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.explore.measurement import THUMBNAIL_SIDE
from training.explore.survey import Survey

Mean = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """The images of one class and source: their number, and the sum of their thumbnails."""

    label: str
    source: str
    images: int
    total: Mean


@dataclass(frozen=True, slots=True)
class MeanImages:
    """Mean images, each float64, shape (96, 96), 0 black to 255 white."""

    cells: tuple[Cell, ...]

    def mean(self, belongs: Callable[[Cell], bool]) -> Mean | None:
        """The mean image of the cells that belong; None where there are none."""
        cells = [cell for cell in self.cells if belongs(cell)]
        return (
            sum(cell.total for cell in cells) / sum(cell.images for cell in cells)
            if cells
            else None
        )

    def largest_sources(self, number: int) -> list[str]:
        """The sources with the most images, from the largest on."""
        images: dict[str, int] = {}
        for cell in self.cells:
            images[cell.source] = images.get(cell.source, 0) + cell.images
        return sorted(images, key=lambda source: (-images[source], source))[:number]


def mean_images(survey: Survey) -> MeanImages:
    """Sum the thumbnails of each class and source; one batch of them is in memory at a time.

    Raises:
        WorkdirIncomplete: The store is damaged.
    """
    return MeanImages(
        tuple(
            Cell(str(label), str(source), len(images), _total(survey, images.index.tolist()))
            for (label, source), images in survey.table.groupby(["label", "source"])
        )
    )


def _total(survey: Survey, rows: list[int]) -> Mean:
    total = np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    for thumbnail in survey.thumbnails(rows):
        total += thumbnail
    return total
