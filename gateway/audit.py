"""Audit messages of DICOM PS3.15 A.5, sent as RFC 5424 over TLS (RFC 5425).

A repository that is away is tried again; so many messages as `_HELD` wait for it, in memory. What
is dropped beyond that is counted.
"""

import os
import queue
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import quoteattr

import structlog
from pydicom.dataset import Dataset

from gateway.config import Audit
from gateway.errors import InvalidConfiguration, Unacceptable
from gateway.headers import read_header
from gateway.metrics import REFUSED
from gateway.tls import client_context

_HELD = 10_000
_RETRY_S = 5.0
_TIMEOUT_S = 10.0
_PRIORITY = 10 * 8 + 5  # security and authorization messages, notice
_APPLICATION = ("110150", "Application")
_SOURCE, _DESTINATION = ("110153", "Source Role ID"), ("110152", "Destination Role ID")

log = structlog.get_logger()


class Auditor:
    """Sends audit messages; without a repository to send to it does nothing."""

    def __init__(self, config: Audit | None, own_title: str) -> None:
        self._config = config
        self._own = own_title
        self._host = socket.gethostname()
        self._messages: queue.Queue[bytes] = queue.Queue(_HELD)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="audit", daemon=True)
        if config:
            self._thread.start()

    def close(self) -> None:
        """Send what is left, if the repository takes it now."""
        self._closing.set()
        if self._config:
            self._thread.join(_TIMEOUT_S)

    def started(self) -> None:
        """The gateway takes instances from now on."""
        kind = _code("EventTypeCode", "110120", "Application Start")
        self._put("E", ("110100", "Application Activity"), kind, _user(self._own, _APPLICATION))

    def stopped(self) -> None:
        """The gateway takes no more."""
        kind = _code("EventTypeCode", "110121", "Application Stop")
        self._put("E", ("110100", "Application Activity"), kind, _user(self._own, _APPLICATION))

    def transferred(self, peer: str, file: Path, *, outgoing: bool) -> None:
        """An instance came from a peer, or went to one."""
        source, destination = (self._own, peer) if outgoing else (peer, self._own)
        users = _user(source, _SOURCE) + _user(destination, _DESTINATION)
        action = "R" if outgoing else "C"
        self._put(action, ("110104", "DICOM Instances Transferred"), "", users, file)

    def accessed(self, by: str, file: Path) -> None:
        """A person looked at the queue with the identifiers shown."""
        users = _user(self._own, _SOURCE) + _user(by, _DESTINATION)
        self._put("R", ("110103", "DICOM Instances Accessed"), "", users, file)

    def _put(
        self,
        action: str,
        event: tuple[str, str],
        kind: str,
        users: str,
        about: Path | None = None,
    ) -> None:
        if not self._config:
            return
        try:
            objects = _objects(read_header(about)) if about else ""
        except Unacceptable as error:
            log.warning("no audit message", problem=str(error))
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = (
            f'<AuditMessage><EventIdentification EventActionCode="{action}" '
            f'EventDateTime="{now}" EventOutcomeIndicator="0">'
            f"{_code('EventID', *event)}{kind}</EventIdentification>{users}"
            f"<AuditSourceIdentification AuditSourceID={quoteattr(self._own)}>"
            '<AuditSourceTypeCode csd-code="4"/></AuditSourceIdentification>'
            f"{objects}</AuditMessage>"
        )
        header = f"<{_PRIORITY}>1 {now} {self._host} pneumo-gateway {os.getpid()} IHE+RFC-3881 -"
        try:
            self._messages.put_nowait(f"{header} \ufeff{body}".encode())
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
        return client_context(config.tls).wrap_socket(plain, server_hostname=config.host)


def _user(name: str, role: tuple[str, str]) -> str:
    said = f'UserID={quoteattr(name)} UserIsRequestor="false"'
    return f"<ActiveParticipant {said}>{_code('RoleIDCode', *role)}</ActiveParticipant>"


def _objects(header: Dataset) -> str:
    """The study and the patient that a message is about."""
    study, patient = header.get("StudyInstanceUID"), header.get("PatientID")
    return "".join(
        f"<ParticipantObjectIdentification ParticipantObjectID={quoteattr(str(value or ''))} "
        f'ParticipantObjectTypeCode="{kind}" ParticipantObjectTypeCodeRole="{role}">{code}'
        "</ParticipantObjectIdentification>"
        for value, kind, role, code in (
            (study, 2, 3, _code("ParticipantObjectIDTypeCode", "110180", "Study Instance UID")),
            (
                patient,
                1,
                1,
                _code("ParticipantObjectIDTypeCode", "2", "Patient Number", "RFC-3881"),
            ),
        )
    )


def _code(element: str, value: str, text: str, system: str = "DCM") -> str:
    code = f'csd-code="{value}" codeSystemName="{system}" originalText={quoteattr(text)}'
    return f"<{element} {code}/>"
