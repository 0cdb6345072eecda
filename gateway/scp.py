"""The DICOM listener: C-ECHO, C-STORE, and the answers to storage commitment."""

import socket
import ssl
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Self, cast

import pynetdicom
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from gateway.config import Dicom, Tls
from gateway.destinations import Commitments
from gateway.errors import InvalidConfiguration
from gateway.intake import SUCCESS, Intake
from gateway.metrics import REFUSED

_HANDSHAKE_TIMEOUT_S = 10


class Listener:
    """An application entity that takes instances in."""

    def __init__(self, config: Dicom, intake: Intake, commitments: Commitments) -> None:
        self._config = config
        self._intake = intake
        self._commitments = commitments
        self._next_at: dict[str, float] = defaultdict(float)
        self._rate_lock = threading.Lock()
        # A received data set goes to the state folder's disk as it comes, and never to memory.
        tempfile.tempdir = str(intake.incoming)
        pynetdicom._config.STORE_RECV_CHUNKED_DATASET = True
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"
        self._server = self._start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Take no more, and end the associations that are open."""
        self._server.ae.shutdown()

    def _start(self) -> ThreadedAssociationServer:
        ae = AE(self._config.ae_titles[0])
        ae.maximum_associations = self._config.max_associations
        ae.maximum_pdu_size = self._config.max_pdu_bytes
        ae.network_timeout = self._config.idle_timeout_s
        ae.require_called_aet = True
        ae.require_calling_aet = [peer.calling for peer in self._config.peers]
        ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            kind = cast("UID", context.abstract_syntax)
            ae.add_supported_context(kind, pynetdicom.ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_EVENT_REPORT, self._commitments.on_report),
        ]
        address = (self._config.host, self._config.port)
        started = ae.start_server(address, block=False, evt_handlers=handlers)
        server = cast("ThreadedAssociationServer", started)
        server.contexts = _Shared(server.contexts)
        if self._config.tls:
            server.ssl_context = cast("ssl.SSLContext", _LazyHandshake(self._config.tls))
        return server

    def _on_request(self, event: evt.Event) -> None:
        """Let the association pass the check of our title where the pair of titles may meet."""
        calling, called = _titles(event)
        pairs = [peer for peer in self._config.peers if peer.calling == calling]
        meets = not self._config.peers or any(p.called in (None, called) for p in pairs)
        is_ours = called in self._config.ae_titles and meets
        # pynetdicom refuses an association whose called title is not this one.
        event.assoc.acceptor.ae_title = called if is_ours else f"NOT {called}"[:16]
        if not is_ours:
            REFUSED.labels("association").inc()

    def _on_store(self, event: evt.Event) -> int:
        calling, called = _titles(event)
        self._slow_down(calling)
        sop_uid = str(cast("Any", event.request).AffectedSOPInstanceUID)
        file = Path(event.dataset_path)
        return self._intake.answer(file, "dimse", sop_uid=sop_uid, calling=calling, called=called)

    def _slow_down(self, calling: str) -> None:
        """Answer later than the rate allows for, so that the sender waits."""
        rate = self._config.max_instances_per_s
        if not rate:
            return
        with self._rate_lock:
            now = time.monotonic()
            at = max(now, self._next_at[calling])
            self._next_at[calling] = at + 1 / rate
        time.sleep(at - now)


class _Shared(list[PresentationContext]):
    """Contexts that nobody changes: pynetdicom would copy 7,000 UIDs for each association."""

    def __deepcopy__(self, _memo: object) -> Self:
        return self


class _LazyHandshake:
    """A context that shakes hands in the association's thread, and not in that which accepts."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        tls.context(server=True)

    def wrap_socket(self, connection: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
        connection.settimeout(_HANDSHAKE_TIMEOUT_S)
        try:
            context = self._tls.context(server=True)
        except InvalidConfiguration as error:  # they are being replaced
            raise ConnectionAbortedError from error
        return context.wrap_socket(
            connection, server_side=server_side, do_handshake_on_connect=False
        )


def _titles(event: evt.Event) -> tuple[str, str]:
    request = cast("Any", event.assoc.requestor.primitive)
    return request.calling_ae_title.strip(), request.called_ae_title.strip()
