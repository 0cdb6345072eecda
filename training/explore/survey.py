"""Every image of a data set, read and measured once."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

import contract
from contract.errors import ImageError
from training.datasets.base import Dataset
from training.errors import DataError
from training.explore.measurement import Measurement, measure
from training.explore.store import Entry, Store
from training.progress import progress_bar

CHUNK = 64
MEASURED_BY = ("container.py", "measurement.py")
NOT_IN_TABLE = "histogram"
OPTIONAL = ("jpeg_quality", "coloured", "tint")


@dataclass(frozen=True, slots=True)
class Survey:
    """What was measured of a data set.

    ``table`` has one row per readable image, numbered from 0: the columns of ``ImageRow``, those of
    ``Measurement`` without the histogram, ``aspect`` (width over height), ``bytes_per_pixel`` and
    ``key``, the image's name in the store. ``histograms`` is float64, shape (images, 64).
    ``unreadable`` has one row per image that cannot be read: the columns of ``ImageRow`` and
    ``reason``.
    """

    table: pd.DataFrame
    histograms: NDArray[np.float64]
    unreadable: pd.DataFrame
    store: Store

    def thumbnails(self, rows: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the thumbnails of some rows of ``table``: uint8, shape (96, 96)."""
        return self.store.thumbnails([self.table["key"].iat[row] for row in rows])


def take_survey(dataset: Dataset, store: Store, console: Console) -> Survey:
    """Measure every image of a data set that the store does not know yet.

    A file is known by its path, its size and the time of its last change. A run that was stopped
    carries on where it was. A file that cannot be opened is tried again by the next run.

    Raises:
        DataError: No image can be read.
        WriteFailed: The disk is full, or the store cannot be written.
        WorkdirIncomplete: The store is damaged.
    """
    keys, missing = _keys(dataset)
    known = store.keys()
    store.forget(known - set(keys.values()))
    missing |= _measure_all(
        dataset.root, {path: key for path, key in keys.items() if key not in known}, store, console
    )
    outcomes = store.outcomes()
    found = {path: outcomes[key] for path, key in keys.items() if key in outcomes} | missing
    return _survey(dataset.table, found, keys, store)


def _keys(dataset: Dataset) -> tuple[dict[str, str], dict[str, str]]:
    """The key of each file, and the reason for each that is not there."""
    code = _code_digest()
    keys, missing = {}, {}
    for path in dataset.table["path"]:
        try:
            status = (dataset.root / path).stat()
        except OSError as error:
            missing[path] = _reason(error)
        else:
            identity = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{code}"
            keys[path] = hashlib.sha256(identity.encode()).hexdigest()
    return keys, missing


def _code_digest() -> str:
    """Another way of decoding or of measuring makes everything measured before it stale."""
    digest = hashlib.sha256()
    measuring = [Path(__file__).with_name(name) for name in MEASURED_BY]
    for source in [*sorted(Path(contract.__path__[0]).glob("*.py")), *measuring]:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _measure_all(
    root: Path, wanted: dict[str, str], store: Store, console: Console
) -> dict[str, str]:
    """Measure files and keep what comes of them.

    Returns:
        The reason for each path that could not be opened.
    """
    paths, missing = list(wanted), {}
    with progress_bar(console) as bar, ThreadPoolExecutor() as pool:
        task = bar.add_task("measuring images", total=len(paths))
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            entries = list(pool.map(lambda path: _entry(root / path, wanted[path]), chunk))
            store.add(entry for entry in entries if isinstance(entry, Entry))
            missing |= {
                path: entry
                for path, entry in zip(chunk, entries, strict=True)
                if isinstance(entry, str)
            }
            bar.advance(task, len(chunk))
    return missing


def _entry(file: Path, key: str) -> Entry | str:
    try:
        facts, thumbnail = measure(file.read_bytes())
    except ImageError as error:
        return Entry(key, None, str(error), None)
    except OSError as error:
        return _reason(error)
    return Entry(key, facts, None, thumbnail)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _survey(
    images: pd.DataFrame,
    found: dict[str, Measurement | str],
    keys: dict[str, str],
    store: Store,
) -> Survey:
    reasons = {path: outcome for path, outcome in found.items() if isinstance(outcome, str)}
    lost = images["path"].isin(reasons)
    table = images[~lost].reset_index(drop=True)
    unreadable = images[lost].reset_index(drop=True)
    if table.empty:
        example = next(iter(reasons.values()), "it lists none")
        raise DataError(f"No image of the data set can be read. The first: {example}")
    facts = [found[path] for path in table["path"]]
    # A column in which nothing was measured would otherwise be one of objects.
    columns = pd.DataFrame([fact.model_dump(exclude={NOT_IN_TABLE}) for fact in facts]).astype(
        dict.fromkeys(OPTIONAL, np.float64)
    )
    return Survey(
        table.assign(
            **columns,
            aspect=columns["columns"] / columns["rows"],
            bytes_per_pixel=columns["bytes"] / (columns["columns"] * columns["rows"]),
            key=table["path"].map(keys),
        ),
        np.array([fact.histogram for fact in facts]),
        unreadable.assign(reason=unreadable["path"].map(reasons)),
        store,
    )
