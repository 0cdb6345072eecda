"""Files that are either there and whole, or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import WriteFailed


@contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Translate a failed write into one that says what to do.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteFailed(
            f"{target} could not be written: {reason}. "
            "Nothing is lost: make room, and run the same command again to carry on."
        ) from error


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a path to write to, and put that file in the target's place once it is whole.

    The temporary name keeps the target's suffix, as Keras and matplotlib choose by it.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    draft = target.with_name(f".draft-{target.name}")
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            _sync(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    with atomic_path(target) as draft:
        draft.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    """Bring a file's content to the disk, so that a power cut cannot leave an empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
