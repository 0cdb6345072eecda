"""What every adapter hands over: a table of images with their label, patient and official split."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import pandas as pd

from training.errors import EmptyClass, UnknownLabel

OfficialSplit = Literal["train", "test"]


class ImageRow(NamedTuple):
    """One image of a data set.

    ``path`` and ``mask`` are relative to the data set's root, with slashes; ``mask`` is empty where
    there is no lung mask. ``source`` is where the image was gathered, finer than the data set where
    that pools several.
    """

    path: str
    label: str
    patient: str
    group: str
    split: str
    source: str
    mask: str = ""


COLUMNS = ImageRow._fields


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, or one official split of it.

    ``table`` has one row per image and the columns of ``ImageRow``. Images of one group must stay
    together; an adapter sets the group to the patient, ``training.splits`` joins near-duplicates to
    it. The table is never changed in place.
    """

    name: str
    licence: str
    root: Path
    table: pd.DataFrame


class Adapter(Protocol):
    """Reads one upstream layout.

    ``read`` lists only the asked-for official split, so that a training cannot even see the names
    of the test images. A data set without an official split has all its images in ``train`` and
    none in ``test``; a recipe draws its test split then. ``read`` raises ``LayoutMismatch``,
    ``UnknownLabel`` or ``EmptyClass``.
    """

    def read(self, root: Path, split: OfficialSplit) -> Dataset:
        """List the images of one official split below ``root``."""
        ...


def check_labels(table: pd.DataFrame, classes: Sequence[str], where: str) -> None:
    """Check that the labels of a table are the recipe's classes, each with an image.

    Raises:
        UnknownLabel: The table has a label that is no class of the recipe.
        EmptyClass: A class has no image.
    """
    found = set(table["label"])
    if unknown := sorted(found - set(classes)):
        raise UnknownLabel(
            f"{where} has the label {_listed(unknown)}, but the recipe's classes are "
            f"{_listed(classes)}. Name it in the recipe, or choose another recipe."
        )
    if missing := [label for label in classes if label not in found]:
        raise EmptyClass(
            f"{where} has no image of {_listed(missing)}. "
            "Every class needs images in every split: check that the data set is complete."
        )


def data_digest(dataset: Dataset) -> str:
    """Name the exact content of a data set.

    Returns:
        ``sha256:<hex>`` over the sorted relative paths, each with its file's SHA-256.
    """
    total = hashlib.sha256()
    for path in sorted(dataset.table["path"]):
        total.update(f"{path}\0{_content(dataset.root / path)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        # It will be listed among the unreadable images; here it only has to be told from others.
        return "unreadable"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels)
