"""Files that are either there and whole, or not there at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np

from training.errors import WorkdirIncomplete, WriteFailed

Content = TypeVar("Content")


@contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Translate a failed write into ``WriteFailed``, which says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        remedy = "make room" if full else "mend this"
        raise WriteFailed(
            f"{target} could not be written: {reason}. "
            f"Nothing is lost: {remedy}, and run the same command again to carry on."
        ) from error


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a path to write to, and put that file in the target's place once it is whole.

    The temporary name keeps the target's suffix, as Keras and matplotlib choose by it. Raises
    ``WriteFailed`` where the disk is full, or the folder cannot be written.
    """
    draft = target.with_name(f".draft-{target.name}")
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            # On the disk before it is renamed, so that a power cut cannot leave an empty file.
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file as ``atomic_path`` does."""
    with atomic_path(target) as draft:
        draft.write_text(text, encoding="utf-8")


def write_arrays(target: Path, content: object) -> None:
    """Write a dataclass of arrays as ``*.npz``, as ``atomic_path`` does."""
    with atomic_path(target) as draft:
        np.savez(draft, **asdict(content))


def read_arrays(path: Path, kind: type[Content]) -> Content:
    """Read what ``write_arrays`` has written of a dataclass, or raise ``WorkdirIncomplete``."""
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return kind(**{field.name: file[field.name] for field in fields(kind)})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise WorkdirIncomplete(
            f"{path} cannot be read: {error}. Run pneumo-train fit again."
        ) from error
