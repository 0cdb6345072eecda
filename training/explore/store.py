"""What has been measured, kept on the disk, so that no image is ever read twice."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.atomic import write_errors
from training.errors import WorkdirIncomplete, WriteFailed
from training.explore.measurement import THUMBNAIL_SIDE, Measurement

BATCH = 256
TABLE = """
CREATE TABLE IF NOT EXISTS images (key TEXT PRIMARY KEY, facts TEXT, reason TEXT, thumbnail BLOB)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of one file: its facts and thumbnail, or the reason why it cannot be read."""

    key: str
    facts: Measurement | None
    reason: str | None
    thumbnail: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class Store:
    """One SQLite file; what was added is there even if the next moment the power fails."""

    path: Path
    connection: sqlite3.Connection

    def keys(self) -> set[str]:
        """The keys of all entries.

        Raises:
            WorkdirIncomplete: The file is damaged.
        """
        with _store_errors(self.path):
            return {key for (key,) in self.connection.execute("SELECT key FROM images")}

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep entries: all of them or, where it fails, none.

        Raises:
            WriteFailed: The disk is full, or the file cannot be written.
        """
        rows = [
            (
                entry.key,
                None if entry.facts is None else entry.facts.model_dump_json(),
                entry.reason,
                None if entry.thumbnail is None else entry.thumbnail.tobytes(),
            )
            for entry in entries
        ]
        with _store_errors(self.path), self.connection as changes:
            changes.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)", rows)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove entries of files that have changed or are gone.

        Raises:
            WriteFailed: The file cannot be written.
        """
        with _store_errors(self.path), self.connection as changes:
            changes.executemany("DELETE FROM images WHERE key = ?", [(key,) for key in keys])

    def outcomes(self) -> dict[str, Measurement | str]:
        """The facts or the reason of every entry, by key.

        Raises:
            WorkdirIncomplete: The file is damaged.
        """
        with _store_errors(self.path):
            rows = self.connection.execute("SELECT key, facts, reason FROM images")
            return {
                key: reason if facts is None else Measurement.model_validate_json(facts)
                for key, facts, reason in rows
            }

    def thumbnails(self, keys: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        """Yield the thumbnails of readable images in the given order, a batch in memory at a time.

        Yields:
            uint8, shape (96, 96).

        Raises:
            WorkdirIncomplete: The file is damaged.
        """
        query = "SELECT thumbnail FROM images WHERE key = ?"
        for start in range(0, len(keys), BATCH):
            with _store_errors(self.path):
                batch = [
                    self.connection.execute(query, (key,)).fetchone()[0]
                    for key in keys[start : start + BATCH]
                ]
            for thumbnail in batch:
                plane = np.frombuffer(thumbnail, np.uint8)
                yield plane.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open the file that keeps measurements, or begin it.

    Raises:
        WriteFailed: The folder cannot be written.
        WorkdirIncomplete: The file is damaged.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _store_errors(path):
        connection = sqlite3.connect(path)
    try:
        with _store_errors(path), connection as changes:
            changes.execute(TABLE)
        yield Store(path, connection)
    finally:
        connection.close()


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise WriteFailed(
            f"{path} could not be written: {error}. Make room, or end the other run that uses it, "
            "and run the same command again to carry on."
        ) from error
    except sqlite3.DatabaseError as error:
        raise WorkdirIncomplete(
            f"{path} is damaged: {error}. Remove it, and run the same command again."
        ) from error
