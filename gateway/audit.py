"""Audit messages of DICOM PS3.15 A.5, sent as RFC 5424 over TLS (RFC 5425).

A repository that is away is tried again; at most as many messages as `_HELD` wait for it, in
memory. What is dropped beyond that is counted.
"""

import os
import queue
import socket
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

import structlog

from gateway.config import Audit
from gateway.metrics import REFUSED
from gateway.tls import Certificates

_HELD = 10_000
_RETRY_S = 5.0
_TIMEOUT_S = 10.0
_FACILITY_10_NOTICE = 10 * 8 + 5  # security and authorization messages
# Source: DICOM PS3.15 A.5.2, PS3.16 CID 400 to 403.
_START, _STOP = ("110120", "Application Start"), ("110121", "Application Stop")
_ACTIVITY = ("110100", "Application Activity")
_TRANSFERRED = ("110104", "DICOM Instances Transferred")
_ACCESSED = ("110103", "DICOM Instances Accessed")
_SOURCE_ROLE, _DESTINATION_ROLE = ("110153", "Source Role ID"), ("110152", "Destination Role ID")
_APPLICATION = ("110150", "Application")
_STUDY_UID = ("110180", "Study Instance UID")

log = structlog.get_logger()


class Auditor:
    """Sends audit messages; without a repository to send to it does nothing."""

    def __init__(self, config: Audit | None, own_title: str) -> None:
        self._config = config
        self._own = own_title
        self._host = socket.gethostname()
        self._messages: queue.Queue[bytes] = queue.Queue(_HELD)
        self._closing = threading.Event()
        self._certificates = (
            Certificates(config.tls, server=False) if config and config.tls else None
        )
        self._thread = threading.Thread(target=self._send_all, name="audit", daemon=True)
        if config:
            self._thread.start()

    @property
    def wanted(self) -> bool:
        """Whether there is a repository."""
        return self._config is not None

    def close(self) -> None:
        """Send what is left, if the repository takes it now."""
        self._closing.set()
        if self._config:
            self._thread.join(_TIMEOUT_S)

    def started(self) -> None:
        """The gateway takes instances from now on."""
        self._put(self._message("E", _ACTIVITY, _START, [(self._own, _APPLICATION)]))

    def stopped(self) -> None:
        """The gateway takes no more."""
        self._put(self._message("E", _ACTIVITY, _STOP, [(self._own, _APPLICATION)]))

    def transferred(
        self, *, outgoing: bool, peer: str, study_uid: str, patient_id: str, ok: bool = True
    ) -> None:
        """Instances of a study came from a peer, or went to one."""
        ends = [self._own, peer] if outgoing else [peer, self._own]
        users = list(zip(ends, (_SOURCE_ROLE, _DESTINATION_ROLE), strict=True))
        message = self._message("R" if outgoing else "C", _TRANSFERRED, None, users, ok=ok)
        self._put(_about(message, study_uid, patient_id))

    def accessed(self, *, by: str, study_uid: str, patient_id: str) -> None:
        """A person looked at the queue with the identifiers shown."""
        message = self._message("R", _ACCESSED, None, [(by, _APPLICATION)])
        self._put(_about(message, study_uid, patient_id))

    def _message(
        self,
        action: str,
        event: tuple[str, str],
        kind: tuple[str, str] | None,
        users: Iterable[tuple[str, tuple[str, str]]],
        *,
        ok: bool = True,
    ) -> Element:
        root = Element("AuditMessage")
        happened = {
            "EventActionCode": action,
            "EventDateTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "EventOutcomeIndicator": "0" if ok else "4",
        }
        identification = SubElement(root, "EventIdentification", happened)
        _code(identification, "EventID", event)
        if kind:
            _code(identification, "EventTypeCode", kind)
        for user, role in users:
            requested = {"UserID": user, "UserIsRequestor": "false"}
            _code(SubElement(root, "ActiveParticipant", requested), "RoleIDCode", role)
        source = {"AuditSourceID": self._own, "AuditEnterpriseSiteID": self._host}
        SubElement(
            SubElement(root, "AuditSourceIdentification", source),
            "AuditSourceTypeCode",
            {"csd-code": "4"},
        )
        return root

    def _put(self, message: Element) -> None:
        if not self._config:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        header = f"<{_FACILITY_10_NOTICE}>1 {now} {self._host} pneumo-gateway {os.getpid()} "
        text = header + "IHE+RFC-3881 - \ufeff" + tostring(message, encoding="unicode")
        try:
            self._messages.put_nowait(text.encode())
        except queue.Full:
            REFUSED.labels("audit").inc()

    def _send_all(self) -> None:
        connection: socket.socket | None = None
        message: bytes | None = None
        while not (self._closing.is_set() and message is None and self._messages.empty()):
            try:
                message = message or self._messages.get(timeout=0.5)
                connection = connection or self._connect()
                connection.sendall(b"%d %b" % (len(message), message))
                message = None
            except queue.Empty:
                continue
            except OSError as error:
                log.warning("audit repository away", error=type(error).__name__)
                connection = None
                if self._closing.wait(_RETRY_S):
                    return
        if connection:
            connection.close()

    def _connect(self) -> socket.socket:
        assert self._config is not None
        address = (self._config.host, self._config.port)
        plain = socket.create_connection(address, timeout=_TIMEOUT_S)
        if self._certificates is None:
            return plain
        context = self._certificates.context()
        return context.wrap_socket(plain, server_hostname=self._config.host)


def _about(message: Element, study_uid: str, patient_id: str) -> Element:
    study = {"ParticipantObjectID": study_uid}
    study |= {"ParticipantObjectTypeCode": "2", "ParticipantObjectTypeCodeRole": "3"}
    _code(
        SubElement(message, "ParticipantObjectIdentification", study),
        "ParticipantObjectIDTypeCode",
        _STUDY_UID,
    )
    patient = {"ParticipantObjectID": patient_id}
    patient |= {"ParticipantObjectTypeCode": "1", "ParticipantObjectTypeCodeRole": "1"}
    _code(
        SubElement(message, "ParticipantObjectIdentification", patient),
        "ParticipantObjectIDTypeCode",
        ("2", "Patient Number"),
    )
    return message


def _code(parent: Element, name: str, code: tuple[str, str]) -> None:
    value, text = code
    system = "DCM" if len(value) > 1 else "RFC-3881"
    SubElement(parent, name, {"csd-code": value, "codeSystemName": system, "originalText": text})
