"""How a result goes to a destination: C-STORE and storage commitment, STOW-RS, or FHIR.

What is sent twice is one object still: its UIDs and identifiers follow from its key.
"""

import socket
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any, cast

import httpx
import pynetdicom
import structlog
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from contract.fhir import MEDIA_TYPE
from gateway.config import Destination
from gateway.errors import InvalidConfiguration, Permanent, Transient
from gateway.headers import dataset
from gateway.http_peer import HttpPeer
from gateway.tables import SOP_CLASSES, ResultObject

_TIMEOUT_S = 30.0
_COMMITMENT = "1.2.840.10008.1.20.1.1"  # the well-known instance, PS3.6
_PATIENCE_S = 30.0
# A peer that has not reported within a day is asked anew, and what it says then is forgotten.
_REMEMBERED_S = 24 * 3600.0
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
# Source: DICOM PS3.4 B.2.3, PS3.7 annex C.
_DUPLICATE = 0x0111
_WARNINGS = range(0xB000, 0xC000)
_CANNOT_BE_UNDERSTOOD = (range(0xA900, 0xAA00), range(0xC000, 0xD000), range(0x0122, 0x0123))

log = structlog.get_logger()


class Commitments:
    """Asks peers to promise that they keep what they were sent, and notes which of them do.

    Source: DICOM PS3.4 annex J.
    """

    def __init__(self) -> None:
        self._reported = threading.Condition()
        # Who was asked in each transaction, and when; and the UIDs that each promised to keep.
        self._asked: dict[str, tuple[str, float]] = {}
        self._kept: set[tuple[str, str]] = set()

    def ask(self, association: Association, objects: Sequence[ResultObject]) -> None:
        """Ask for a promise and wait for it, on this association or on one that the peer opens.

        Transient where there is none in time for all of the objects; what is promised late counts
        the next time. A peer that offers no commitment has what it was sent.
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
            status = _request(association, transaction, objects)
        except (RuntimeError, ValueError) as error:
            self._forget(transaction)
            if isinstance(error, RuntimeError):
                raise Transient("the association was lost") from error
            log.warning("offers no storage commitment", peer=acceptor.ae_title)
            return
        if status is None:
            # It may have heard all the same, and promise later on an association of its own.
            raise Transient("the peer does not answer a request for storage commitment")
        if status != 0:
            self._forget(transaction)
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
            if asked := self._asked.pop(str(report.TransactionUID), None):
                items = report.get("ReferencedSOPSequence") or []
                self._kept |= {(asked[0], str(item.ReferencedSOPInstanceUID)) for item in items}
                self._reported.notify_all()
        return 0x0000, None

    def _forget(self, transaction: str) -> None:
        with self._reported:
            self._asked.pop(transaction, None)


def _request(
    association: Association, transaction: str, objects: Sequence[ResultObject]
) -> int | None:
    """Ask; RuntimeError where the association is lost, ValueError where none is offered."""
    references = [
        dataset(ReferencedSOPClassUID=sent.sop_class, ReferencedSOPInstanceUID=sent.sop_uid)
        for sent in objects
    ]
    request = dataset(TransactionUID=transaction, ReferencedSOPSequence=references)
    status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, _COMMITMENT)
    return int(status.Status) if status else None


class DimseSender:
    """Sends by C-STORE over an association that is kept open while there is something to send."""

    def __init__(self, destination: Destination, own_title: str, commitments: Commitments) -> None:
        self._destination = destination
        self._commitments = commitments
        self._ae = AE(own_title)
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = _TIMEOUT_S
        self._ae.connection_timeout = _TIMEOUT_S
        for sop_class in SOP_CLASSES.values():
            self._ae.add_requested_context(sop_class, _SYNTAXES)
        for sop_class in (Verification, StudyRootQueryRetrieveInformationModelFind):
            self._ae.add_requested_context(sop_class)
        if destination.storage_commitment:
            self._ae.add_requested_context(StorageCommitmentPushModel)
        self._association: Association | None = None
        pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True

    def send(self, objects: Sequence[ResultObject], bundle: str) -> None:  # noqa: ARG002
        """Send the objects and, where the destination offers it, wait for its commitment."""
        association = self._connected()
        for each in objects:
            self._store(association, each)
        if self._destination.storage_commitment:
            self._commitments.ask(association, objects)

    def echo(self) -> bool:
        """Ask whether somebody is there."""
        try:
            status = self._connected().send_c_echo()
        except (Transient, RuntimeError, InvalidConfiguration):
            return False
        return bool(status) and status.Status == 0

    def count(self, study_uid: str, series_uid: str) -> int | None:
        """How many instances a series has, if the peer says so; Transient where none answers."""
        query = dataset(
            QueryRetrieveLevel="SERIES",
            StudyInstanceUID=study_uid,
            SeriesInstanceUID=series_uid,
            NumberOfSeriesRelatedInstances=None,
        )
        model = StudyRootQueryRetrieveInformationModelFind
        try:
            found = list(self._connected().send_c_find(query, model))
        except ValueError:  # it offers no query
            return None
        except RuntimeError as error:
            raise Transient("the association was lost") from error
        if not all(status for status, _ in found):
            raise Transient("the peer does not answer C-FIND")
        counts = [str(each.get("NumberOfSeriesRelatedInstances")) for _, each in found if each]
        return int(counts[0]) if counts and counts[0].isdecimal() else None

    def close(self) -> None:
        """Release the association."""
        if self._association and self._association.is_established:
            self._association.release()
        self._association = None

    def _connected(self) -> Association:
        if self._association and self._association.is_established:
            return self._association
        peer = self._destination
        self._association = self._ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            tls_args=(peer.tls.context(), peer.host) if peer.tls else None,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _send_at_once),
                (evt.EVT_N_EVENT_REPORT, self._commitments.on_report),
            ],
        )
        if not self._association.is_established:
            raise Transient("the peer opens no association")
        return self._association

    def _store(self, association: Association, sent: ResultObject) -> None:
        contexts = association.accepted_contexts
        syntaxes = [c.transfer_syntax for c in contexts if c.abstract_syntax == sent.sop_class]
        # As the file is, piece by piece; or anew, where the peer chose another encoding.
        is_taken = [ExplicitVRLittleEndian] in syntaxes
        try:
            answer = association.send_c_store(sent.file if is_taken else dcmread(sent.file))
        except ValueError as error:
            raise Permanent("the peer does not take this kind of object") from error
        except RuntimeError as error:
            raise Transient("the association was lost") from error
        if "Status" not in answer:
            self.close()
            raise Transient("the peer does not answer C-STORE")
        status = int(answer.Status)
        if status in (0, _DUPLICATE) or status in _WARNINGS:
            return
        problem = f"the peer answers C-STORE with status 0x{status:04X}"
        if any(status in kind for kind in _CANNOT_BE_UNDERSTOOD):
            raise Permanent(problem)
        raise Transient(problem)


def _send_at_once(event: evt.Event) -> None:
    """Send small packets at once: peers put their acknowledgement of those before off by 40 ms."""
    connection = cast("Any", event.assoc.dul.socket).socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class StowSender(HttpPeer):
    """Sends by DICOMweb's STOW-RS. Source: DICOM PS3.18 10.5."""

    probe = "/studies?StudyInstanceUID=0"

    def send(self, objects: Sequence[ResultObject], bundle: str) -> None:  # noqa: ARG002
        """Store the objects, and read which of them were taken."""
        boundary = uuid.uuid4().hex
        start = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        content = b"".join(start + each.file.read_bytes() for each in objects)
        content += f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        answer = self.ask("POST", "/studies", content, headers)
        stored, failed = _said_of_each(answer)
        # What is there already was refused, and is kept all the same.
        kept = stored | {uid for uid, reason in failed.items() if reason == _DUPLICATE}
        if not {sent.sop_uid for sent in objects} <= kept:
            reasons = ", ".join(sorted(f"0x{reason:04X}" for reason in failed.values()))
            problem = f"the peer answers STOW-RS with {answer.status_code} and keeps {len(kept)} of"
            # 409: none was stored, each for a reason that stays.
            refused = Permanent if answer.status_code == httpx.codes.CONFLICT else Transient
            raise refused(f"{problem} {len(objects)} objects: {reasons or 'it does not say why'}")


class FhirSender(HttpPeer):
    """Sends the Bundle to a FHIR server, as one transaction."""

    probe = "/metadata"

    def send(self, objects: Sequence[ResultObject], bundle: str) -> None:  # noqa: ARG002
        """Post the Bundle."""
        headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        answer = self.ask("POST", "", bundle.encode(), headers)
        if answer.status_code == httpx.codes.CONFLICT:
            raise Permanent("the FHIR server answers with 409")
        try:
            said = answer.json()
            is_done = (said["resourceType"], said["type"]) == ("Bundle", "transaction-response")
        except (ValueError, TypeError, LookupError):  # such as a page to log in at
            is_done = False
        if answer.status_code not in (200, 201) or not is_done:
            problem = f"the FHIR server answers with {answer.status_code} and no transaction"
            raise Transient(problem)


Sender = DimseSender | StowSender | FhirSender


def sender(destination: Destination, own_title: str, commitments: Commitments) -> Sender:
    """The way to a destination, for one thread.

    ``send`` raises Transient where a result may be taken later, Permanent where it never will be;
    ``echo`` says whether somebody is there; the next result opens again what ``close`` ends.
    """
    if destination.kind == "dimse":
        return DimseSender(destination, own_title, commitments)
    kind = StowSender if destination.kind == "stow" else FhirSender
    return kind(destination.url, destination.key_file, destination.tls, _TIMEOUT_S)


def _said_of_each(answer: httpx.Response) -> tuple[set[str], dict[str, int]]:
    """The UIDs that a STOW-RS answer says are stored, and those that failed with their reasons."""
    try:
        said = Dataset.from_json(answer.json())
        stored = said.get("ReferencedSOPSequence") or []
        failed = said.get("FailedSOPSequence") or []
        return (
            {str(item.ReferencedSOPInstanceUID) for item in stored},
            {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in failed},
        )
    except Exception:  # noqa: BLE001 - whatever pydicom makes of the peer's body
        return set(), {}
