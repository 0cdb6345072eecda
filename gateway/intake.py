"""The one way in: an object is taken when it is on the disk and in the queue, and not before."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import structlog
from pydicom.dataset import Dataset
from sqlalchemy.exc import SQLAlchemyError

from gateway.config import Config, Rule
from gateway.errors import StateInUse, StorageFull, Unacceptable
from gateway.headers import data_set_offset, is_uid, read_meta
from gateway.metrics import RECEIVED, REFUSED
from gateway.rules import route
from gateway.store import QueueName, Store
from gateway.tables import Instance

Source = Literal["dimse", "stow", "folder"]
# The sender is done, may try again later, or had better not.
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_CHUNK = 1 << 20

log = structlog.get_logger()


class Intake:
    """Takes files in. One process has a state folder, and this is the object that holds it."""

    def __init__(
        self, config: Config, store: Store, on_arrival: Callable[[Instance], object]
    ) -> None:
        self._config = config
        self._store = store
        self.incoming = config.state_dir / "incoming"
        self._kept = config.state_dir / "received"
        self._on_arrival = on_arrival
        for number in range(256):
            (self._kept / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        # What an earlier process left half done was never acknowledged.
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir()

    def check_space(self) -> None:
        """Raise StorageFull below the watermark, while what was promised can still be kept."""
        if shutil.disk_usage(self._kept).free < self._config.min_free_bytes:
            raise StorageFull("The disk is below its watermark.")

    def take(
        self,
        file: Path,
        source: Source,
        *,
        sop_uid: str | None = None,
        calling: str = "",
        called: str = "",
    ) -> Literal["new", "repeated", "conflict"]:
        """Move a whole file of ``incoming`` into the queue; it stays there where this raises.

        ``sop_uid`` is as the sender named it, by default as its file meta information does;
        ``calling`` is the title that sent it, ``called`` the one that it was sent to. Unacceptable
        where it has no identity; after StorageFull, OSError, SQLAlchemyError it may come again.
        """
        self.check_space()
        meta = read_meta(file)
        sop_uid = sop_uid or str(meta.get("MediaStorageSOPInstanceUID") or "")
        if not is_uid(sop_uid) or not meta.get("TransferSyntaxUID"):
            raise Unacceptable("Its SOP Instance UID or its transfer syntax is not named.")
        digest = _digest(file, meta)
        if self._store.knows(sop_uid, digest):
            file.unlink()
            RECEIVED.labels(source, "repeated").inc()
            return "repeated"
        name = hashlib.sha256(f"{sop_uid}/{digest}".encode()).hexdigest()
        kept = self._kept / name[:2] / f"{name}.dcm"
        size = _keep(file, kept)
        instance = Instance(
            sop_uid=sop_uid,
            digest=digest,
            path=str(kept.relative_to(self._config.state_dir)),
            size=size,
            source=source,
            calling=calling,
            called=called,
            received_at=time.time(),
        )
        outcome = self._store.accept(instance, route(self._config.rules, kept, instance))
        RECEIVED.labels(source, outcome).inc()
        self._on_arrival(instance)
        return outcome

    def answer(self, file: Path, source: Source, **sent: str) -> int:
        """Take a file, and say what became of it as a status of C-STORE; STOW-RS has the same.

        Source: DICOM PS3.4 B.2.3, PS3.18 table I.2-2.
        """
        try:
            self.take(file, source, **sent)
        except (StorageFull, OSError, SQLAlchemyError) as error:
            REFUSED.labels("not kept").inc()
            log.warning("not kept", source=source, error=type(error).__name__)
            return OUT_OF_RESOURCES
        except Exception as error:
            # One object that nobody foresaw must not stop the others.
            if not isinstance(error, Unacceptable):
                log.exception("unforeseen", source=source)
            REFUSED.labels("unacceptable").inc()
            return CANNOT_UNDERSTAND
        return SUCCESS


def replay(rules: Sequence[Rule], store: Store, queue: QueueName, row_id: int | None = None) -> int:
    """Queue once more what is parked, of instances what no rule took; how many there were."""
    if queue != "instances":
        return store.replay(queue, row_id)
    instances = store.not_read(row_id)
    for instance in instances:
        store.route(instance, route(rules, store.state_dir / instance.path, instance))
    return len(instances)


def lock(state_dir: Path) -> int:
    """Take the state folder for this process, until it ends; StateInUse where another has it."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateInUse(f"Another gateway has {state_dir} open.") from error
    return descriptor


def write_durably(file: Path, data: bytes) -> int:
    """Write a file so that it is there, whole, after a crash, or not at all; return its size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(data)
    return _keep(new, file)


def _keep(file: Path, kept: Path) -> int:
    """Bring a file to the disk, then its name; return its size."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        size = os.fstat(opened.fileno()).st_size
    file.rename(kept)
    folder = os.open(kept.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return size


def _digest(file: Path, meta: Dataset) -> str:
    """The SHA-256 of the data set and its encoding; file meta information is the sender's own."""
    digest = hashlib.sha256(str(meta.TransferSyntaxUID).encode())
    with file.open("rb") as opened:
        opened.seek(data_set_offset(meta))
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
