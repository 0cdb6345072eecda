"""Threads that repeat one small step, after which they can end: what all have, and two of them.

One takes in what lies in watched folders; one erases what is no longer needed, by age and size.
"""

import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.config import Retention
from gateway.errors import StorageFull, Unacceptable
from gateway.intake import Intake
from gateway.metrics import REFUSED
from gateway.store import BATCH, Store
from gateway.tables import Instance, Result

Held = TypeVar("Held", Instance, Result)
REST_S = 0.5
_AFTER_FAILURE_S = 1.0
_ERASING_EVERY_S = 60.0
# A file that has not changed for this long is whole.
_SETTLED_S = 2.0
_REFUSED_FOLDER = "refused"

log = structlog.get_logger()


class Worker(ABC, threading.Thread):
    """Takes steps until it is told to stop, and rests where there is none to take."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.wake = threading.Event()
        self._is_closing = False

    @abstractmethod
    def step(self) -> bool:
        """Do a little of the work; whether there was any."""

    def close(self) -> None:
        """Finish the step at hand, and stop."""
        self._is_closing = True
        self.wake.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Take steps."""
        while not self._is_closing:
            try:
                moved = self.step()
            except Exception as error:
                # Mostly the database or the disk is away. What was to be done is still queued.
                if isinstance(error, SQLAlchemyError | OSError):
                    log.warning("cannot work", worker=self.name, error=type(error).__name__)
                else:
                    log.exception("unforeseen", worker=self.name)
                time.sleep(_AFTER_FAILURE_S)
                continue
            if not moved:
                self.wake.wait(REST_S)
                self.wake.clear()


class WatchedFolders(Worker):
    """Looks into folders again and again; a network share tells nobody of its changes."""

    def __init__(self, folders: Sequence[Path], intake: Intake) -> None:
        super().__init__("folders")
        self._folders = folders
        self._intake = intake
        # Told of once, and tried each time.
        self._left: set[Path] = set()

    def step(self) -> bool:
        """Take what has settled; whether there was any."""
        moved = False
        for file in [file for folder in self._folders for file in _settled(folder)]:
            try:
                self._take(file)
                moved = True
            except StorageFull:
                break
            except OSError as error:
                # Trouble with it is its own, and not the others'.
                if file not in self._left:
                    REFUSED.labels("not kept").inc()
                    log.warning("not kept", source="folder", error=type(error).__name__)
                self._left.add(file)
        return moved

    def _take(self, file: Path) -> None:
        try:
            self._intake.check_space()
            with TemporaryDirectory(dir=self._intake.incoming) as folder:
                copy = Path(folder, file.name)
                shutil.copyfile(file, copy)
                self._intake.take(copy, "folder")
            file.unlink()
        except Unacceptable as error:
            REFUSED.labels("unacceptable").inc()
            log.warning("refused", source="folder", problem=str(error))
            aside = file.parent / _REFUSED_FOLDER
            aside.mkdir(exist_ok=True)
            file.rename(aside / file.name)


def _settled(folder: Path) -> Iterator[Path]:
    before = time.time() - _SETTLED_S
    for file in sorted(folder.rglob("*")):
        try:
            is_settled = file.is_file() and file.stat().st_mtime < before
        except OSError:  # it went in between
            continue
        if is_settled and _REFUSED_FOLDER not in file.parts:
            yield file


class Eraser(Worker):
    """Looks once a minute. UIDs and keys stay, so that nothing is done twice."""

    def __init__(self, config: Retention, store: Store) -> None:
        super().__init__("eraser")
        self._config = config
        self._store = store
        self._next_at = 0.0

    def step(self) -> bool:
        """Erase a batch of what is too old or beyond the size; whether there may be more."""
        if time.monotonic() < self._next_at:
            return False
        # Set first: what fails is tried again in a minute, and not at once.
        self._next_at = time.monotonic() + _ERASING_EVERY_S
        before = time.time() - self._config.max_age_h * 3600
        excess = self._store.bytes_held() - self._config.max_bytes
        received = _due(self._store.erasable(), before, excess)
        # Where there may be more received files, they go before any result.
        excess = 0 if len(received) == BATCH else excess - sum(each.size for each in received)
        sent = _due(self._store.sent(), before, excess)
        files = [self._store.state_dir / instance.path for instance in received]
        for result in sent:
            files += [made.file for made in result.objects(self._store.state_dir)]
        for file in files:
            file.unlink(missing_ok=True)
        if files:
            self._store.mark_erased(received, sent)
            log.info("erased", received=len(received), results=len(sent))
        is_more = BATCH in (len(received), len(sent))
        if is_more:
            self._next_at = 0.0
        return is_more


def _due(held: Sequence[Held], before: float, excess: int) -> list[Held]:
    """Of what is held, oldest first, what is too old or makes up the excess."""
    due = []
    for each in held:
        since = each.received_at if isinstance(each, Instance) else each.created_at
        if since < before or excess > 0:
            due.append(each)
            excess -= each.size
    return due
