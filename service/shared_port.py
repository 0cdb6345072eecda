"""A port that several processes listen on, held by their parent, who does not listen."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.errors import StartError
from service.settings import Settings


@contextmanager
def reserved_port(settings: Settings) -> Iterator[int]:
    """Hold the port for the workers, who alone listen on it; find a free one for port 0.

    Raises:
        StartError: The port is not free.
    """
    with ExitStack() as held:
        try:
            if settings.port:
                held.enter_context(_claim(settings.host, settings.port))
                # Another service that shared its port would silently be given half of the requests.
                bound(settings.host, settings.port, shared=False).close()
            port = held.enter_context(bound(settings.host, settings.port, shared=True))
        except OSError as error:
            raise StartError(f"Cannot listen on port {settings.port}: {error.strerror}.") from error
        yield port.getsockname()[1]


def _claim(host: str, port: int) -> socket.socket:
    """A name that only one process can have, which the kernel takes back when it ends.

    The TCP port looks free until the workers of another service listen there: a probe without
    SO_REUSEADDR would see that service, but also the closed connections of the one before. The
    abstract Unix sockets belong to the network namespace, as the ports do.
    """
    _, (address, *_) = _resolved(host, port)
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0pneumoscope {address!s} {port}")
    except OSError:
        claim.close()
        raise
    return claim


def bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """A TCP socket that has its address, and does not listen yet.

    Args:
        host: A name or an address; every address where empty.
        port: 0 takes a free one.
        shared: Whether other sockets may have the same port.

    Raises:
        OSError: The port is not free, or the host is no address of this machine.
    """
    family, address = _resolved(host, port)
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # As one process has it: "::" is not IPv4 too, whatever the system's default.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]:
    """The first address of a host; an empty one is every address."""
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    family, _, _, _, address = socket.getaddrinfo(host or None, port, type=kind, flags=flags)[0]
    return family, address
