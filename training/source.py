"""A data set brought into memory's reach: its table, and its images as model inputs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import Progress

from training.config import Recipe
from training.datasets import (
    Dataset,
    OfficialSplit,
    check_labels,
    data_digest,
    read_dataset,
)
from training.errors import WorkdirMismatch
from training.image_cache import cached_images
from training.workdir import TrainedModel, Workdir


@dataclass(frozen=True, slots=True)
class Source:
    """The readable images of one official split.

    ``table`` is the data set's table without the unreadable images; its index numbers the rows of
    ``images``, uint8, shape (cached images, height, width, 1). ``classes`` is int, shape (cached
    images,): the position of each image's label among the recipe's classes.
    """

    dataset: Dataset
    digest: str
    table: pd.DataFrame
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]

    @property
    def unreadable(self) -> int:
        """How many images were skipped."""
        return len(self.dataset.table) - len(self.table)


def read_labelled(recipe: Recipe, data: Path, split: OfficialSplit) -> tuple[Dataset, str]:
    """List one official split and name its content.

    Returns:
        The data set and its digest.

    Raises:
        DataError: The data set is not laid out as expected, or its labels are not the recipe's.
    """
    dataset = read_dataset(recipe.data.adapter, data, split)
    check_labels(dataset.table, recipe.data.classes, f"The official {split} split")
    return dataset, data_digest(dataset)


def read_training_split(trained: TrainedModel, data: Path) -> tuple[Dataset, str]:
    """List the official training split again, for a model that was trained on it.

    Returns:
        The data set and its digest.

    Raises:
        DataError: The data set is not laid out as expected.
        WorkdirMismatch: These are other images than those of the training.
    """
    dataset, digest = read_labelled(trained.config, data, "train")
    if digest != trained.provenance.data_digest:
        raise WorkdirMismatch(
            "These are not the images of the training: their digest differs. "
            "Give the folder that pneumo-train fit was given."
        )
    return dataset, digest


def load_source(
    dataset: Dataset, digest: str, recipe: Recipe, work: Workdir, split: str, bar: Progress
) -> Source:
    """Decode a data set into the workdir's cache; list and skip what cannot be read.

    The list is ``unreadable-<split>.csv`` in the workdir.

    Raises:
        DataError: No image of a class can be read.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    task = bar.add_task("reading images", total=len(dataset.table))
    cached = cached_images(
        dataset,
        digest,
        recipe.preprocessing,
        work.cache,
        on_progress=lambda done: bar.update(task, completed=done),
    )
    unusable = pd.DataFrame(cached.unreadable.items(), columns=["path", "reason"])
    work.write_table(work.root / f"unreadable-{split}.csv", unusable)
    if len(unusable):
        bar.console.print(f"{len(unusable)} images cannot be read: see unreadable-{split}.csv")
    table = dataset.table[~dataset.table["path"].isin(unusable["path"])]
    check_labels(table, recipe.data.classes, f"What can be read of the {split} split")
    order = {label: number for number, label in enumerate(recipe.data.classes)}
    classes = dataset.table["label"].map(order).to_numpy(np.int64)
    return Source(dataset, digest, table, cached.images, classes)
