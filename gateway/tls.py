"""TLS in and out, by BCP 195. Certificates are read for each connection, and so may change.

Source: RFC 9325 (BCP 195): TLS 1.2 and later, forward secrecy, authenticated encryption;
DICOM PS3.15 B.12.
"""

import ssl

from gateway.config import Tls
from gateway.errors import InvalidConfiguration

_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL"


def server_context(tls: Tls) -> ssl.SSLContext:
    """A context for one connection from a peer.

    Raises:
        InvalidConfiguration: A certificate or key cannot be read.
    """
    return _context(tls, server=True)


def client_context(tls: Tls | None) -> ssl.SSLContext:
    """A context for one connection, or more, that this side opens; it raises as the other."""
    return _context(tls or Tls(), server=False)


def _context(tls: Tls, *, server: bool) -> ssl.SSLContext:
    if server and tls.certificate is None:
        raise InvalidConfiguration("TLS: a listener needs a certificate and its key.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
        if tls.authorities:
            context.load_verify_locations(tls.authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        elif not server:
            context.load_default_certs()
    except OSError as error:
        raise InvalidConfiguration(f"TLS: {error}") from error
    return context
