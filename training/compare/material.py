"""The images that every candidate learns from and is measured on, and what is kept of each."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.progress import Progress

from training.compare.comparison import Row
from training.config import Recipe
from training.source import Source, load_source, read_official_test
from training.train import prepare
from training.workdir import Workdir

Split = Literal["validation", "test"]
KEPT = "comparison-row.json"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The images of one split that nobody learns from.

    ``rows`` number images of ``images``, uint8, shape (cached images, height, width, 1);
    ``classes``, int, and ``patients`` have one value per row.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    patients: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Material:
    """The images of a recipe at its size: those to learn from, and the splits to measure on."""

    recipe: Recipe
    source: Source
    held_out: dict[Split, HeldOut]
    digest: str

    @property
    def positive(self) -> int | None:
        """The number of the positive finding's output."""
        data = self.recipe.data
        return None if data.positive is None else data.classes.index(data.positive)

    def key(self, *parts: str) -> str:
        """Names all that a candidate's figures follow from: these images, and what else is said."""
        everything = "\0".join((self.digest, *self.held_out, self.recipe.model_dump_json(), *parts))
        return hashlib.sha256(everything.encode()).hexdigest()


def read_material(
    recipe: Recipe, data: Path, work: Workdir, split: Split, bar: Progress
) -> Material:
    """Decode and split the images of a recipe; the test split only where it is asked for.

    Raises:
        DataError: The data set cannot be used.
        WorkdirError: The workdir belongs to another training, or cannot be written.
    """
    source = prepare(recipe, data, work, bar)
    held_out = {"validation": _held_out(source, source.rows("validation"))}
    digest = source.digest
    if split == "test" and recipe.split.test_share is not None:
        held_out["test"] = _held_out(source, source.rows("test"))
    elif split == "test":
        dataset, test_digest = read_official_test(recipe, data)
        test = load_source(dataset, test_digest, recipe, work, "test", bar)
        held_out["test"] = _held_out(test, test.table.index.to_numpy())
        digest += test_digest
    return Material(recipe, source, held_out, digest)


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    row: Row


def kept_row(work: Workdir, key: str) -> Row | None:
    """The row of an earlier comparison, where nothing has changed since."""
    try:
        kept = _Kept.model_validate_json((work.root / KEPT).read_bytes())
    except (OSError, ValidationError):
        return None
    return kept.row if kept.key == key else None


def keep_row(work: Workdir, key: str, row: Row) -> Row:
    """Keep a row for the next comparison.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    work.write_json(work.root / KEPT, _Kept(key=key, row=row))
    return row


def _held_out(source: Source, rows: NDArray[np.int64]) -> HeldOut:
    patients = source.table["patient"].loc[rows].to_numpy(dtype=np.str_)
    return HeldOut(source.images, rows, source.classes[rows], patients)
