"""Storage commitment: a peer promises to keep what it was sent.

Source: DICOM PS3.4 annex J.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from gateway.errors import Transient
from gateway.headers import dataset
from gateway.tables import ResultObject

_INSTANCE_UID = "1.2.840.10008.1.20.1.1"  # the well-known instance, PS3.6
_PATIENCE_S = 30.0
# A peer that has not reported within a day is asked anew, and what it says then is forgotten.
_REMEMBERED_S = 24 * 3600.0

log = structlog.get_logger()


class Commitments:
    """Promises that were asked for, and the reports that keep or break them."""

    def __init__(self) -> None:
        self._reported = threading.Condition()
        # Who was asked in each transaction, and when; and the UIDs that each promised to keep.
        self._asked: dict[str, tuple[str, float]] = {}
        self._kept: set[tuple[str, str]] = set()

    def ask(self, association: Association, objects: Sequence[ResultObject]) -> None:
        """Ask for a promise and wait for it, on this association or on one that the peer opens.

        A peer may take longer than this waits: what it promises late counts the next time. One
        that offers no commitment has what it was sent.

        Raises:
            Transient: There was none in time, or not for all of the objects.
        """
        acceptor = association.acceptor
        peer = f"{acceptor.ae_title}@{acceptor.address}:{acceptor.port}"
        wanted = {(peer, sent.sop_uid) for sent in objects}
        transaction = str(generate_uid(None))
        with self._reported:
            if wanted <= self._kept:
                self._kept -= wanted
                return
            now = time.monotonic()
            for old in [uid for uid, (_, at) in self._asked.items() if at + _REMEMBERED_S < now]:
                del self._asked[old]
            self._asked[transaction] = peer, now
        try:
            _request(association, transaction, objects)
        except (Transient, ValueError) as error:
            with self._reported:
                self._asked.pop(transaction, None)
            if isinstance(error, Transient):
                raise
            log.warning("offers no storage commitment", peer=acceptor.ae_title)
            return
        with self._reported:
            self._reported.wait_for(lambda: transaction not in self._asked, timeout=_PATIENCE_S)
            if not wanted <= self._kept:
                raise Transient("the peer has not promised to keep the objects")
            self._kept -= wanted

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Note what a peer promises."""
        report: Any = event.event_information
        with self._reported:
            if asked := self._asked.pop(str(report.TransactionUID), None):
                items = report.get("ReferencedSOPSequence") or []
                self._kept |= {(asked[0], str(item.ReferencedSOPInstanceUID)) for item in items}
                self._reported.notify_all()
        return 0x0000, None


def _request(association: Association, transaction: str, objects: Sequence[ResultObject]) -> None:
    """Ask once; ValueError where the peer offers no commitment, Transient where it takes none."""
    references = [
        dataset(ReferencedSOPClassUID=sent.sop_class, ReferencedSOPInstanceUID=sent.sop_uid)
        for sent in objects
    ]
    request = dataset(TransactionUID=transaction, ReferencedSOPSequence=references)
    try:
        status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, _INSTANCE_UID)
    except RuntimeError as error:
        raise Transient("the association was lost") from error
    if not status or status.Status != 0:
        raise Transient("the peer takes no request for storage commitment")
