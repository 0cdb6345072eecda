"""Watched folders: what lies in them is taken in, and removed once it is."""

import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.errors import StorageFull, Unacceptable
from gateway.intake import Intake
from gateway.metrics import RECEIVED, REFUSED

log = structlog.get_logger()
# A file that has not changed for this long is whole.
_SETTLED_S = 2.0
REFUSED_FOLDER = "refused"


class WatchedFolders:
    """Looks into folders again and again; a network share tells nobody of its changes."""

    def __init__(self, folders: Sequence[Path], intake: Intake) -> None:
        self._folders = folders
        self._intake = intake
        self._left: set[Path] = set()

    def step(self) -> bool:
        """Take what has settled; whether there was any."""
        files = [file for folder in self._folders for file in _settled(folder)]
        return sum(self._take(file) for file in files) > 0

    def _take(self, file: Path) -> bool:
        """Take one; whether it is gone. Trouble with it is its own, and not the others'.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database is away, for all of them.
        """
        copy = self._intake.incoming / f"{uuid.uuid4().hex}.dcm"
        try:
            self._intake.check_space()
            shutil.copyfile(file, copy)
            outcome = self._intake.take(copy, "folder")
            RECEIVED.labels("folder", outcome).inc()
            file.unlink()
        except StorageFull:
            return False
        except Unacceptable as error:
            return self._refuse(file, str(error))
        except OSError as error:
            return self._leave(file, error)
        finally:
            copy.unlink(missing_ok=True)
        return True

    def _refuse(self, file: Path, problem: str) -> bool:
        REFUSED.labels("unacceptable").inc()
        log.warning("refused", source="folder", problem=problem)
        aside = file.parent / REFUSED_FOLDER
        try:
            aside.mkdir(exist_ok=True)
            file.rename(aside / file.name)
        except OSError as error:
            return self._leave(file, error)
        return True

    def _leave(self, file: Path, error: Exception) -> bool:
        """Leave it for the next time; it is told of once."""
        if file not in self._left:
            REFUSED.labels("not kept").inc()
            log.warning("not kept", source="folder", error=type(error).__name__)
        self._left.add(file)
        return False


def _settled(folder: Path) -> list[Path]:
    before = time.time() - _SETTLED_S
    found = (file for file in folder.rglob("*") if REFUSED_FOLDER not in file.parts)
    return sorted(file for file in found if _is_settled(file, before))


def _is_settled(file: Path, before: float) -> bool:
    try:
        return file.is_file() and file.stat().st_mtime < before
    except OSError:
        return False
