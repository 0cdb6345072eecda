"""Storage commitment: a peer promises to keep what it was sent.

Source: DICOM PS3.4 annex J.
"""

import threading
from collections.abc import Sequence
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


class Commitments:
    """Promises that were asked for, and the reports that keep or break them."""

    def __init__(self) -> None:
        self._reported = threading.Condition()
        self._open: dict[str, set[str] | None] = {}

    def ask(self, association: Association, objects: Sequence[ResultObject]) -> None:
        """Ask for a promise and wait for it, on this association or on one that the peer opens.

        Raises:
            Transient: There was none in time, or not for all of the objects.
        """
        request = Dataset()
        request.TransactionUID = transaction = str(generate_uid(None))
        request.ReferencedSOPSequence = [_item(sent) for sent in objects]
        with self._reported:
            self._open[transaction] = None
        try:
            status, _ = association.send_n_action(
                request, 1, StorageCommitmentPushModel, _INSTANCE_UID
            )
            if not status or status.Status != 0:
                raise Transient("the peer takes no request for storage commitment")
            with self._reported:
                self._reported.wait_for(
                    lambda: self._open[transaction] is not None, timeout=_PATIENCE_S
                )
                kept = self._open[transaction]
        finally:
            with self._reported:
                del self._open[transaction]
        if kept is None or not {sent.sop_uid for sent in objects} <= kept:
            raise Transient("the peer has not promised to keep the objects")

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Note what a peer promises."""
        report: Any = event.event_information
        items = report.get("ReferencedSOPSequence") or []
        with self._reported:
            if report.TransactionUID in self._open:
                self._open[report.TransactionUID] = {
                    str(item.ReferencedSOPInstanceUID) for item in items
                }
                self._reported.notify_all()
        return 0x0000, None


def _item(sent: ResultObject) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sent.sop_class
    item.ReferencedSOPInstanceUID = sent.sop_uid
    return item
