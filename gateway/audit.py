"""Audit messages of DICOM PS3.15 A.5, sent as RFC 5424 over TLS (RFC 5425).

A repository that is away is tried again; so many messages as `_HELD` wait for it, in memory. What
is dropped beyond that is counted.
"""

import os
import queue
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import structlog

from gateway.config import Audit
from gateway.errors import InvalidConfiguration, Unacceptable
from gateway.headers import read_header
from gateway.metrics import REFUSED

_HELD = 10_000
_RETRY_S = 5.0
_TIMEOUT_S = 10.0
_PRIORITY = 10 * 8 + 5  # security and authorization messages, notice
# Code value and meaning, of DICOM's own terminology.
Code = tuple[str, str]
_ACTIVITY = ("110100", "Application Activity")
_START, _STOP = ("110120", "Application Start"), ("110121", "Application Stop")
_TRANSFERRED = ("110104", "DICOM Instances Transferred")
_ACCESSED = ("110103", "DICOM Instances Accessed")
_APPLICATION = ("110150", "Application")
_SOURCE = ("110153", "Source Role ID")
_DESTINATION = ("110152", "Destination Role ID")

log = structlog.get_logger()


class Auditor:
    """Sends audit messages, from its start to its stop; to nobody where there is no repository."""

    def __init__(self, config: Audit | None, own_title: str) -> None:
        self._config = config
        self._own = own_title
        self._host = socket.gethostname()
        self._messages: queue.Queue[bytes] = queue.Queue(_HELD)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="audit", daemon=True)
        if config:
            self._thread.start()
        self._put("E", _ACTIVITY, [(own_title, _APPLICATION)], kind=_START)

    def close(self) -> None:
        """Tell of the stop, and send what is left, if the repository takes it now."""
        self._put("E", _ACTIVITY, [(self._own, _APPLICATION)], kind=_STOP)
        self._closing.set()
        if self._config:
            self._thread.join(_TIMEOUT_S)

    def transferred(self, peer: str, file: Path, *, outgoing: bool) -> None:
        """An instance came from a peer, or went to one."""
        source, destination = (self._own, peer) if outgoing else (peer, self._own)
        users = [(source, _SOURCE), (destination, _DESTINATION)]
        self._put("R" if outgoing else "C", _TRANSFERRED, users, about=file)

    def accessed(self, by: str, file: Path) -> None:
        """A person looked at the queue with the identifiers shown."""
        self._put("R", _ACCESSED, [(self._own, _SOURCE), (by, _DESTINATION)], about=file)

    def _put(
        self,
        action: str,
        event: Code,
        users: Sequence[tuple[str, Code]],
        kind: Code | None = None,
        about: Path | None = None,
    ) -> None:
        if not self._config:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        happened = {"EventActionCode": action, "EventDateTime": now, "EventOutcomeIndicator": "0"}
        message = Element("AuditMessage")
        said = SubElement(message, "EventIdentification", happened)
        _code(said, "EventID", event)
        if kind:
            _code(said, "EventTypeCode", kind)
        for name, role in users:
            user = SubElement(message, "ActiveParticipant", UserID=name, UserIsRequestor="false")
            _code(user, "RoleIDCode", role)
        source = SubElement(message, "AuditSourceIdentification", AuditSourceID=self._own)
        SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
        try:
            _name(message, about)
        except Unacceptable as error:
            log.warning("audit message without a study", problem=str(error))
        header = f"<{_PRIORITY}>1 {now} {self._host} pneumo-gateway {os.getpid()} IHE+RFC-3881 -"
        try:
            self._messages.put_nowait(f"{header} \ufeff{tostring(message, 'unicode')}".encode())
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
            except (OSError, InvalidConfiguration) as error:
                log.warning("audit repository away", error=type(error).__name__)
                connection = None
                if self._closing.wait(_RETRY_S):
                    return
        if connection:
            connection.close()

    def _connect(self) -> socket.socket:
        config = self._config or Audit(host="")
        plain = socket.create_connection((config.host, config.port), timeout=_TIMEOUT_S)
        if config.tls is None:
            return plain
        return config.tls.context().wrap_socket(plain, server_hostname=config.host)


def _name(message: Element, file: Path | None) -> None:
    """Say which study and which patient a message is about."""
    if file is None:
        return
    header = read_header(file)
    for keyword, kind, role, code, system in (
        ("StudyInstanceUID", "2", "3", ("110180", "Study Instance UID"), "DCM"),
        ("PatientID", "1", "1", ("2", "Patient Number"), "RFC-3881"),
    ):
        named = {"ParticipantObjectID": str(header.get(keyword) or "")}
        named |= {"ParticipantObjectTypeCode": kind, "ParticipantObjectTypeCodeRole": role}
        about = SubElement(message, "ParticipantObjectIdentification", named)
        _code(about, "ParticipantObjectIDTypeCode", code, system)


def _code(parent: Element, element: str, code: Code, system: str = "DCM") -> None:
    value, text = code
    coded = {"csd-code": value, "codeSystemName": system, "originalText": text}
    SubElement(parent, element, coded)
