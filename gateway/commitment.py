"""Storage commitment: a peer promises to keep what it was sent.

Source: DICOM PS3.4 annex J.
"""

import threading
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
_REMEMBERED = 1000

log = structlog.get_logger()


class Commitments:
    """Promises that were asked for, and the reports that keep or break them."""

    def __init__(self) -> None:
        self._reported = threading.Condition()
        # Who was asked in each transaction, and the UIDs that each promised to keep.
        self._asked: dict[str, str] = {}
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
        references = [
            dataset(ReferencedSOPClassUID=sent.sop_class, ReferencedSOPInstanceUID=sent.sop_uid)
            for sent in objects
        ]
        request = dataset(TransactionUID=transaction, ReferencedSOPSequence=references)
        with self._reported:
            if wanted <= self._kept:
                self._kept -= wanted
                return
            self._asked[transaction] = peer
            if len(self._asked) > _REMEMBERED:
                del self._asked[next(iter(self._asked))]
        try:
            status, _ = association.send_n_action(
                request, 1, StorageCommitmentPushModel, _INSTANCE_UID
            )
        except (ValueError, RuntimeError) as error:
            with self._reported:
                self._asked.pop(transaction, None)
            if isinstance(error, RuntimeError):
                raise Transient("the association was lost") from error
            log.warning("offers no storage commitment", peer=acceptor.ae_title)
            return
        if not status or status.Status != 0:
            raise Transient("the peer takes no request for storage commitment")
        with self._reported:
            self._reported.wait_for(lambda: transaction not in self._asked, timeout=_PATIENCE_S)
            if not wanted <= self._kept:
                raise Transient("the peer has not promised to keep the objects")
            self._kept -= wanted

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Note what a peer promises."""
        report: Any = event.event_information
        with self._reported:
            if peer := self._asked.pop(str(report.TransactionUID), None):
                items = report.get("ReferencedSOPSequence") or []
                self._kept |= {(peer, str(item.ReferencedSOPInstanceUID)) for item in items}
                self._reported.notify_all()
        return 0x0000, None
