"""What upstream layouts have in common: a home folder, class folders, sheets, and their faults."""

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from training.datasets.base import COLUMNS, Dataset, ImageRow, OfficialSplit
from training.errors import EmptyClass, LayoutMismatch, UnknownLabel

SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})


def visible(folder: Path) -> list[Path]:
    """List a folder in order, without what operating systems leave in it; nothing if it is none."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))


def images_in(folder: Path) -> list[Path]:
    """List the JPEG and PNG files of a folder in order."""
    return [file for file in visible(folder) if file.suffix.lower() in SUFFIXES]


def has_folders(folder: Path, names: Iterable[str]) -> bool:
    """Whether a folder holds all of the named folders."""
    return all((folder / name).is_dir() for name in names)


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
        LayoutMismatch: None fits.
    """
    for home in (root, *(root / name for name in names)):
        if fits(home):
            return home
    raise mismatch(root, expected)


def mismatch(folder: Path, expected: str) -> LayoutMismatch:
    """Say what a folder holds, and what was expected there."""
    found = ", ".join(entry.name for entry in visible(folder)[:8]) or "nothing"
    return LayoutMismatch(f"Found {found} in {folder}, expected {expected}.")


def check_class_folders(folder: Path, known: Collection[str]) -> None:
    """Check that a folder has no class folder but the known ones.

    Raises:
        UnknownLabel: It has another.
    """
    for entry in visible(folder):
        if entry.is_dir() and entry.name not in known:
            listed = ", ".join(known)
            raise UnknownLabel(
                f"{folder} has the class {entry.name}; this data set has only {listed}."
            )


def images_of_class(folder: Path, expected: str) -> list[Path]:
    """List the images of one class in order.

    Raises:
        EmptyClass: There is none.
    """
    images = images_in(folder)
    if not images:
        raise EmptyClass(f"{folder} holds no image. Expected {expected}.")
    return images


def labelled_images(
    folder: Path, labels: Mapping[str, str], expected: str
) -> Iterator[tuple[Path, str]]:
    """List the images of the class folders that there are, each with its label.

    Args:
        folder: The folder that holds the class folders.
        labels: The label of each class folder by its name.
        expected: As for ``find_home``.

    Raises:
        UnknownLabel: There is a class folder that ``labels`` does not have.
        EmptyClass: A class folder holds no image.
    """
    check_class_folders(folder, labels)
    for name, label in labels.items():
        if (folder / name).is_dir():
            for file in images_of_class(folder / name, expected):
                yield file, label


def image_row(
    home: Path,
    file: Path,
    label: str,
    source: str,
    *,
    patient: str = "",
    split: OfficialSplit = "train",
    mask: str = "",
) -> ImageRow:
    """Describe one image. Without a known patient it stands for a patient of its own."""
    path = file.relative_to(home)
    # Named so that it ends with the image's number: a split in blocks goes by those.
    patient = patient or path.with_suffix("").as_posix().replace("(", "").replace(")", "")
    return ImageRow(path.as_posix(), label, patient, patient, split, source, mask)


def as_dataset(
    name: str, licence: str, home: Path, rows: Iterable[ImageRow], split: OfficialSplit
) -> Dataset:
    """Make a data set of the rows that belong to one official split."""
    kept = [row for row in rows if row.split == split]
    return Dataset(name, licence, home, pd.DataFrame(kept, columns=list(COLUMNS), dtype="str"))


def read_sheet(path: Path, columns: Sequence[str], expected: str) -> pd.DataFrame:
    """Read some columns of a CSV file or an Excel workbook.

    Args:
        path: Of a workbook the first worksheet with these columns is read.
        columns: What the sheet must have.
        expected: As for ``find_home``.

    Returns:
        The columns as text without outer spaces; an empty cell is an empty text.

    Raises:
        LayoutMismatch: It cannot be read, or a column is missing.
    """
    try:
        sheets = _worksheets(path) if path.suffix == ".xlsx" else [_comma_separated(path)]
    except (OSError, ValueError, BadZipFile) as error:
        raise LayoutMismatch(f"{path} cannot be read: {error}. Expected {expected}.") from error
    for sheet in sheets:
        if set(columns) <= set(sheet.columns):
            return sheet[list(columns)].apply(lambda column: column.str.strip())
    raise LayoutMismatch(
        f"{path} has the columns {', '.join(sheets[0].columns)}, "
        f"not {', '.join(columns)}. Expected {expected}."
    )


def _worksheets(path: Path) -> list[pd.DataFrame]:
    book = pd.read_excel(path, sheet_name=None, dtype="str", keep_default_na=False)
    return [_with_stripped_names(sheet.fillna("")) for sheet in book.values()]


def _comma_separated(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Sheets that were once saved by a spreadsheet program; every byte is valid in Latin-1.
        text = content.decode("latin-1")
    sheet = pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False)
    return _with_stripped_names(sheet)


def _with_stripped_names(sheet: pd.DataFrame) -> pd.DataFrame:
    return sheet.rename(columns=lambda name: str(name).strip())
