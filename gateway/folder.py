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

    def step(self) -> bool:
        """Take what has settled; whether there was any."""
        files = [file for folder in self._folders for file in _settled(folder)]
        return sum(self._take(file) for file in files) > 0

    def _take(self, file: Path) -> bool:
        copy = self._intake.incoming / f"{uuid.uuid4().hex}.dcm"
        try:
            self._intake.check_space()
            shutil.copyfile(file, copy)
            outcome = self._intake.take(copy, "folder")
        except StorageFull:
            return False
        except Unacceptable as error:
            copy.unlink()
            REFUSED.labels("unacceptable").inc()
            log.warning("refused", source="folder", problem=str(error))
            aside = file.parent / REFUSED_FOLDER
            aside.mkdir(exist_ok=True)
            file.rename(aside / file.name)
            return True
        RECEIVED.labels("folder", outcome).inc()
        file.unlink()
        return True


def _settled(folder: Path) -> list[Path]:
    before = time.time() - _SETTLED_S
    found = (file for file in folder.rglob("*") if REFUSED_FOLDER not in file.parts)
    return sorted(file for file in found if file.is_file() and file.stat().st_mtime < before)
