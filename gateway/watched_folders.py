"""Takes in what lies in watched folders."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from gateway.errors import StorageFull, Unacceptable
from gateway.intake import Intake
from gateway.metrics import REFUSED
from gateway.worker import Worker

# A file that has not changed for this long is whole.
_SETTLED_S = 2.0
_REFUSED_FOLDER = "refused"

log = structlog.get_logger()


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
