"""TLS in and out, by BCP 195, and certificates that are read again when they change.

Source: RFC 9325 (BCP 195): TLS 1.2 and later, forward secrecy, authenticated encryption;
DICOM PS3.15 B.12.
"""

import ssl
import threading

from gateway.config import Tls
from gateway.errors import InvalidConfiguration

_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL"


class Certificates:
    """A context for connections, made anew whenever one of its files has changed."""

    def __init__(self, tls: Tls, *, server: bool) -> None:
        self._tls = tls
        self._server = server
        self._lock = threading.Lock()
        self._read: tuple[float, ...] = ()
        self.context()

    def context(self) -> ssl.SSLContext:
        """The context for the next connection.

        Raises:
            InvalidConfiguration: A certificate or key cannot be read.
        """
        with self._lock:
            try:
                changed = self._changed()
                if changed != self._read:
                    self._context = _context(self._tls, server=self._server)
                    self._read = changed
            except (OSError, ValueError) as error:
                if not self._read:
                    raise InvalidConfiguration(f"TLS: {error}") from error
                # Files that are being replaced: the old certificate still serves.
            return self._context

    def _changed(self) -> tuple[float, ...]:
        files = (self._tls.certificate, self._tls.key, self._tls.authorities)
        return tuple(file.stat().st_mtime if file else 0.0 for file in files)


def client_context(tls: Tls | None) -> ssl.SSLContext:
    """A context for one connection that this side opens."""
    return _context(tls or Tls(), server=False)


def _context(tls: Tls, *, server: bool) -> ssl.SSLContext:
    if server and tls.certificate is None:
        raise InvalidConfiguration("TLS: a listener needs a certificate and its key.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    if tls.authorities:
        context.load_verify_locations(tls.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    elif not server:
        context.load_default_certs()
    return context
