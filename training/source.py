"""A data set brought into memory's reach: its table, and its images as model inputs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from training.config import Recipe
from training.datasets import Dataset, OfficialSplit, check_labels, data_digest
from training.errors import WorkdirMismatch
from training.image_cache import cached_images
from training.pool import read_pool
from training.workdir import TrainedModel, Workdir

Part = Literal["development", "test", "left-out"]
Split = Literal["test", "validation", "left-out"]


@dataclass(frozen=True, slots=True)
class Source:
    """The readable images of a data set.

    ``table`` is the data set's table without the unreadable images; its index numbers the rows of
    ``images``, uint8, shape (cached images, height, width, 1). ``classes``, int, shape (cached
    images,), is the position of each image's label among the recipe's classes; ``sources``, of the
    same shape, numbers where each was gathered. ``unreadable`` counts the images that were skipped,
    of all splits that were read together.
    """

    dataset: Dataset
    digest: str
    table: pd.DataFrame
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    sources: NDArray[np.int64]
    unreadable: int = 0

    def rows(self, split: str) -> NDArray[np.int64]:
        """The rows of ``images`` that belong to a split."""
        return self.table.index[self.table["split"] == split].to_numpy()


def list_images(recipe: Recipe, data: Path, part: Part) -> tuple[Dataset, str]:
    """List the images of a part of a recipe's data, with their digest.

    ``development`` is what it is trained on, and what its own test split is drawn from; without
    ``split.test_share`` the names of the official test images are not even listed. ``test`` is the
    official test split; ``left-out`` are the sources that it leaves out, which need not have every
    class.

    Raises:
        RecipeError: There is no such adapter or source, or the recipe leaves no source out.
        DataError: The data set is not laid out as expected, or its labels are not the recipe's.
    """
    splits: tuple[OfficialSplit, ...] = ("train", "test")
    if part == "test":
        splits = ("test",)
    elif part == "development" and recipe.split.test_share is None:
        splits = ("train",)
    dataset = read_pool(recipe.data, data, splits, left_out=part == "left-out")
    classes = _found(dataset, recipe) if part == "left-out" else recipe.data.classes
    check_labels(dataset.table, classes, f"The {part} set")
    return dataset, data_digest(dataset)


def read_training_data(trained: TrainedModel, data: Path) -> tuple[Dataset, str]:
    """List what a model was trained on again, with its digest.

    Raises:
        DataError: The data set is not laid out as expected.
        WorkdirMismatch: These are other images than those of the training.
    """
    dataset, digest = list_images(trained.config, data, "development")
    if digest != trained.provenance.data_digest:
        raise WorkdirMismatch(
            "These are not the images of the training: their digest differs. "
            "Give the folder that pneumo-train fit was given."
        )
    return dataset, digest


def load_source(
    dataset: Dataset, digest: str, recipe: Recipe, work: Workdir, name: Part, console: Console
) -> Source:
    """Decode a data set into the workdir's cache; list and skip what cannot be read.

    The list is ``unreadable-<name>.csv`` in the workdir.

    Raises:
        DataError: No image of a class can be read.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    images, unreadable = cached_images(dataset, digest, recipe.preprocessing, work.cache, console)
    unusable = pd.DataFrame(unreadable.items(), columns=["path", "reason"])
    work.write_table(work.root / f"unreadable-{name}.csv", unusable)
    if len(unusable):
        console.print(f"{len(unusable)} images cannot be read: see unreadable-{name}.csv")
    table = dataset.table[~dataset.table["path"].isin(unusable["path"])]
    check_labels(table, _found(dataset, recipe), f"What can be read of the {name} images")
    order = {label: number for number, label in enumerate(recipe.data.classes)}
    classes = dataset.table["label"].map(order).to_numpy(np.int64)
    sources = np.unique(dataset.table["source"].to_numpy(np.str_), return_inverse=True)[1]
    return Source(dataset, digest, table, images, classes, sources, len(unusable))


def load_split(
    trained: TrainedModel, data: Path, work: Workdir, split: Split, console: Console
) -> Source:
    """Load what a trained model is evaluated on; errors as ``read_training_data``."""
    recipe = trained.config
    if split == "left-out" or (split == "test" and recipe.split.test_share is None):
        return load_source(*list_images(recipe, data, split), recipe, work, split, console)
    listed = read_training_data(trained, data)
    source = load_source(*listed, recipe, work, "development", console)
    used = work.read_split(source.table)
    return replace(source, table=used[used["split"] == split])


def _found(dataset: Dataset, recipe: Recipe) -> list[str]:
    """The recipe's classes that the data set has, in the recipe's order."""
    return [label for label in recipe.data.classes if label in set(dataset.table["label"])]
