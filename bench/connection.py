"""One keep-alive HTTP/1.1 connection that never blocks."""

import contextlib
import selectors
import socket

import httptools

BROKEN = 0
RECEIVE_BYTES = 65536
# A radiograph should leave in one system call; the kernel grants what it may of this.
SEND_BUFFER_BYTES = 1 << 20


class Connection:
    """Sends one request after another, and says when an answer is complete."""

    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector) -> None:
        """Prepare; the first request opens the connection.

        Args:
            address: Host and port.
            selector: Where the socket is registered, with this object as its data; when it is
                ready, ``on_ready`` is to be called.
        """
        self._address = address
        self._selector = selector
        self._socket: socket.socket | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._unsent = memoryview(b"")
        self._awaiting = False
        self._status: int | None = None
        self._keep_alive = True

    @property
    def is_free(self) -> bool:
        """Whether the last answer has come and the last request has left to its end."""
        return not self._awaiting and not self._unsent

    def send(self, request: bytes) -> int | None:
        """Begin to send a request, on a new connection where none is open.

        Returns:
            None, or BROKEN where the connection broke at once.
        """
        self._unsent, self._awaiting = memoryview(request), True
        return self.on_ready(selectors.EVENT_WRITE)

    def on_ready(self, events: int) -> int | None:
        """Go on with what the socket is ready for.

        Returns:
            The HTTP status of an answer that is now complete, BROKEN where the connection broke
            before one was, or None where neither happened.
        """
        try:
            if events & selectors.EVENT_WRITE:
                self._write()
            return self._read() if events & selectors.EVENT_READ else None
        except BlockingIOError:
            return None
        except (OSError, httptools.HttpParserError):
            return self._end()

    def close(self) -> None:
        """Close, and forget what is under way."""
        self._unsent, self._awaiting = memoryview(b""), False
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def on_message_complete(self) -> None:
        """Take an answer from the parser, which calls this."""
        assert self._parser is not None, "the parser calls"  # noqa: S101 - for the type checker
        self._status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()

    def _write(self) -> None:
        """Hand the kernel what it takes, and ask to be called for the rest."""
        connection = self._socket or self._open()
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[connection.send(self._unsent) :]
        rest = selectors.EVENT_WRITE if self._unsent else 0
        self._selector.modify(connection, selectors.EVENT_READ | rest, self)

    def _read(self) -> int | None:
        assert self._socket is not None, "it is registered"  # noqa: S101 - for the type checker
        assert self._parser is not None, "it came with the socket"  # noqa: S101 - as above
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            return self._end()
        self._parser.feed_data(data)
        if self._status is None:
            return None
        status, self._status = self._status, None
        self._awaiting = False
        if not self._keep_alive:
            self.close()
        return status

    def _open(self) -> socket.socket:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        # It only begins to connect; what fails is told by the first read or write.
        self._socket.connect_ex(self._address)
        self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._parser = httptools.HttpResponseParser(self)
        return self._socket

    def _end(self) -> int | None:
        """Close; that is a failure only where somebody waits for an answer."""
        awaiting = self._awaiting
        self.close()
        return BROKEN if awaiting else None
