"""Storage commitment: a peer promises to keep what it was sent.

Source: DICOM PS3.4 annex J.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from gateway.errors import Transient
from gateway.store import ResultObject

_INSTANCE_UID = "1.2.840.10008.1.20.1.1"  # the well-known instance, PS3.6
_PATIENCE_S = 30.0
_REMEMBERED = 1000


@dataclass
class _Asked:
    """A request: to whom, and the UIDs that were promised, once there is an answer."""

    peer: str
    kept: set[str] | None = None


class Commitments:
    """Promises that were asked for, and the reports that keep or break them."""

    def __init__(self) -> None:
        self._reported = threading.Condition()
        self._asked: dict[str, _Asked] = {}

    def ask(self, association: Association, objects: Sequence[ResultObject]) -> None:
        """Ask for a promise and wait for it, on this association or on one that the peer opens.

        A peer may take longer than this waits: what it promises late counts the next time.

        Raises:
            Transient: There was none in time, or not for all of the objects.
        """
        request = Dataset()
        request.TransactionUID = transaction = str(generate_uid(None))
        request.ReferencedSOPSequence = [_item(sent) for sent in objects]
        acceptor = association.acceptor
        peer = f"{acceptor.ae_title}@{acceptor.address}:{acceptor.port}"
        wanted = {sent.sop_uid for sent in objects}
        asked = _Asked(peer)
        with self._reported:
            if self._was_promised(peer, wanted):
                return
            self._asked[transaction] = asked
            if len(self._asked) > _REMEMBERED:
                del self._asked[next(iter(self._asked))]
        status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, _INSTANCE_UID)
        if not status or status.Status != 0:
            raise Transient("the peer takes no request for storage commitment")
        with self._reported:
            self._reported.wait_for(lambda: asked.kept is not None, timeout=_PATIENCE_S)
            if asked.kept is not None:
                self._asked.pop(transaction, None)
        if asked.kept is None or not wanted <= asked.kept:
            raise Transient("the peer has not promised to keep the objects")

    def _was_promised(self, peer: str, wanted: set[str]) -> bool:
        """Whether an earlier request was answered since with all of this; it is then forgotten."""
        for transaction, asked in self._asked.items():
            if asked.peer == peer and asked.kept is not None and wanted <= asked.kept:
                del self._asked[transaction]
                return True
        return False

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Note what a peer promises."""
        report: Any = event.event_information
        items = report.get("ReferencedSOPSequence") or []
        with self._reported:
            if asked := self._asked.get(str(report.TransactionUID)):
                asked.kept = {str(item.ReferencedSOPInstanceUID) for item in items}
                self._reported.notify_all()
        return 0x0000, None


def _item(sent: ResultObject) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sent.sop_class
    item.ReferencedSOPInstanceUID = sent.sop_uid
    return item
