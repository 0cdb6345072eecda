"""A data set brought into memory's reach: its table, and its images as model inputs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from training.config import Recipe
from training.datasets import Dataset, OfficialSplit, check_labels, data_digest
from training.datasets.pool import read_left_out, read_pool
from training.errors import WorkdirMismatch
from training.image_cache import cached_images
from training.workdir import TrainedModel, Workdir


@dataclass(frozen=True, slots=True)
class Source:
    """The readable images of a data set.

    ``table`` is the data set's table without the unreadable images; its index numbers the rows of
    ``images``, uint8, shape (cached images, height, width, 1). ``classes`` is int, shape (cached
    images,): the position of each image's label among the recipe's classes; ``sources``, int, the
    same shape, numbers where each was gathered.
    """

    dataset: Dataset
    digest: str
    table: pd.DataFrame
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    sources: NDArray[np.int64]

    def rows(self, split: str) -> NDArray[np.int64]:
        """The rows of ``images`` that belong to a split."""
        return self.table.index[self.table["split"] == split].to_numpy()

    @property
    def unreadable(self) -> int:
        """How many images were skipped."""
        return len(self.dataset.table) - len(self.table)


def read_development(recipe: Recipe, data: Path) -> tuple[Dataset, str]:
    """List what a recipe is trained on, and what its own test split is drawn from, with its digest.

    Without ``split.test_share`` the names of the official test images are not even listed.

    Raises:
        RecipeError: There is no such adapter, or no such source.
        DataError: The data set is not laid out as expected, or its labels are not the recipe's.
    """
    splits: tuple[OfficialSplit, ...] = ("train", "test")
    if recipe.split.test_share is None:
        splits = ("train",)
    return _labelled(read_pool(recipe.data, data, splits), recipe, "The data set")


def read_official_test(recipe: Recipe, data: Path) -> tuple[Dataset, str]:
    """List the official test split, with its digest; raises as ``read_development``."""
    pool = read_pool(recipe.data, data, ("test",))
    return _labelled(pool, recipe, "The official test split")


def read_elsewhere(recipe: Recipe, data: Path) -> tuple[Dataset, str]:
    """List the sources that a recipe leaves out, with their digest; they need not have every class.

    Raises:
        RecipeError: The recipe leaves no source out, or there is no such source.
        DataError: The data set is not laid out as expected, or has a label that is no class.
    """
    dataset = read_left_out(recipe.data, data)
    found = [label for label in recipe.data.classes if label in set(dataset.table["label"])]
    check_labels(dataset.table, found, "What was left out")
    return dataset, data_digest(dataset)


def read_training_data(trained: TrainedModel, data: Path) -> tuple[Dataset, str]:
    """List what a model was trained on again, with its digest.

    Raises:
        DataError: The data set is not laid out as expected.
        WorkdirMismatch: These are other images than those of the training.
    """
    dataset, digest = read_development(trained.config, data)
    if digest != trained.provenance.data_digest:
        raise WorkdirMismatch(
            "These are not the images of the training: their digest differs. "
            "Give the folder that pneumo-train fit was given."
        )
    return dataset, digest


def load_source(
    dataset: Dataset, digest: str, recipe: Recipe, work: Workdir, name: str, console: Console
) -> Source:
    """Decode a data set into the workdir's cache; list and skip what cannot be read.

    The list is ``unreadable-<name>.csv`` in the workdir.

    Raises:
        EmptyClass: No image of a class can be read.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    images, unreadable = cached_images(dataset, digest, recipe.preprocessing, work.cache, console)
    unusable = pd.DataFrame(unreadable.items(), columns=["path", "reason"])
    work.write_table(work.root / f"unreadable-{name}.csv", unusable)
    if len(unusable):
        console.print(f"{len(unusable)} images cannot be read: see unreadable-{name}.csv")
    table = dataset.table[~dataset.table["path"].isin(unusable["path"])]
    found = [label for label in recipe.data.classes if label in set(dataset.table["label"])]
    check_labels(table, found, f"What can be read of the {name} images")
    order = {label: number for number, label in enumerate(recipe.data.classes)}
    classes = dataset.table["label"].map(order).to_numpy(np.int64)
    sources = np.unique(dataset.table["source"].to_numpy(np.str_), return_inverse=True)[1]
    return Source(dataset, digest, table, images, classes, sources)


def _labelled(dataset: Dataset, recipe: Recipe, where: str) -> tuple[Dataset, str]:
    check_labels(dataset.table, recipe.data.classes, where)
    return dataset, data_digest(dataset)
