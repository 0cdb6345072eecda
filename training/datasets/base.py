"""What every reader hands over, a table of images, and what upstream layouts have in common."""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from training.errors import DataError

OfficialSplit = Literal["train", "test"]
_PARTS: Mapping[OfficialSplit, tuple[str, ...]] = {
    "train": ("train", "validation"),
    "test": ("test",),
}


class ImageRow(NamedTuple):
    """One image of a data set.

    ``path`` is relative to the data set's root, with slashes. ``split`` is an official one, or
    ``validation``, which belongs to ``train``. ``source`` is where the image was gathered, finer
    than the data set where that pools several.
    """

    path: str
    label: str
    patient: str
    group: str
    split: str
    source: str


COLUMNS = ImageRow._fields


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, or one official split of it.

    ``table`` has one row per image and the columns of ``ImageRow``. Images of one group must stay
    together; a reader sets the group to the patient, ``training.splits`` joins near-duplicates to
    it. The table is never changed in place.
    """

    name: str
    licence: str
    root: Path
    table: pd.DataFrame


Reader = Callable[[Path, OfficialSplit], Dataset]
"""Lists one official split below a folder: a training cannot even see the names of the test images.

A data set without an official split has all its images in ``train``. Raises ``DataError``.
"""


def check_labels(table: pd.DataFrame, classes: Sequence[str], where: str) -> None:
    """Check that the labels of a table are the recipe's classes, each with an image.

    Raises:
        DataError: The table has a label that is no class of the recipe, or a class has no image.
    """
    found = set(table["label"])
    if unknown := sorted(found - set(classes)):
        raise DataError(
            f"{where} has the label {', '.join(unknown)}, but the recipe's classes are "
            f"{', '.join(classes)}. Name it in the recipe, or choose another recipe."
        )
    if missing := [label for label in classes if label not in found]:
        raise DataError(
            f"{where} has no image of {', '.join(missing)}. "
            "Every class needs images in every split: check that the data set is complete."
        )


def data_digest(dataset: Dataset) -> str:
    """Name the exact content of a data set: ``sha256:<hex>`` over sorted paths and their files."""
    total = hashlib.sha256()
    for path in sorted(dataset.table["path"]):
        try:
            content = hashlib.sha256((dataset.root / path).read_bytes()).hexdigest()
        except OSError:
            # It will be listed among the unreadable images; here it must only be told from others.
            content = "unreadable"
        total.update(f"{path}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"


def visible(folder: Path) -> list[Path]:
    """List a folder in order, without what operating systems leave in it; nothing if it is none."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))


def find_home(
    root: Path, names: Iterable[str], fits: Callable[[Path], bool], expected: str
) -> Path:
    """Find a data set's own folder: the given one, or one of its usual names below it.

    Args:
        root: The folder that the user gave.
        names: What the upstream archive calls its folder.
        fits: Whether a folder is laid out as the data set.
        expected: The layout, and what to download from where, for the message.

    Raises:
        DataError: None fits.
    """
    for home in (root, *(root / name for name in names)):
        if fits(home):
            return home
    found = ", ".join(entry.name for entry in visible(root)[:8]) or "nothing"
    raise DataError(f"Found {found} in {root}, expected {expected}.")


def as_dataset(
    name: str, licence: str, home: Path, rows: Iterable[ImageRow], split: OfficialSplit
) -> Dataset:
    """Make a data set of the rows that belong to one official split."""
    kept = [row for row in rows if row.split in _PARTS[split]]
    return Dataset(name, licence, home, pd.DataFrame(kept, columns=list(COLUMNS), dtype="str"))


def of_splits(dataset: Dataset, splits: Iterable[OfficialSplit]) -> Dataset:
    """The images of some official splits, numbered anew."""
    names = [name for split in splits for name in _PARTS[split]]
    table = dataset.table[dataset.table["split"].isin(names)].reset_index(drop=True)
    return replace(dataset, table=table)


def read_sheet(path: Path, columns: Sequence[str], expected: str) -> pd.DataFrame:
    """Read some columns of a CSV file.

    Args:
        path: The file.
        columns: What it must have.
        expected: As for ``find_home``.

    Returns:
        The columns as text without outer spaces; an empty cell is an empty text.

    Raises:
        DataError: It cannot be read, or a column is missing.
    """
    try:
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            # Sheets that a spreadsheet program once saved; every byte is valid in Latin-1.
            text = content.decode("latin-1")
        sheet = pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Expected {expected}.") from error
    sheet = sheet.rename(columns=lambda name: str(name).strip())
    if not set(columns) <= set(sheet.columns):
        raise DataError(
            f"{path} has the columns {', '.join(sheet.columns)}, "
            f"not {', '.join(columns)}. Expected {expected}."
        )
    return sheet[list(columns)].apply(lambda column: column.str.strip())
