"""A port whose connections are dealt out evenly to several processes.

The kernel could deal them out itself (SO_REUSEPORT), but by a hash of the addresses: of few
connections that stay open, one process may get most.
"""

import mmap
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from service.errors import StartError
from service.intake import CONNECTION, READY, Intake
from service.logs import Logger

BACKLOG = 2048
AT_ONCE = 64
"""How many connections are accepted before the workers and signals are looked at again."""
NO_MEANS_S = 1.0
NO_ROOM_S = 0.01
Source: TypeAlias = int | socket.socket


class _Line:
    """The parent's end of the channel to a worker."""

    def __init__(self, channel: socket.socket, closed: memoryview) -> None:
        channel.settimeout(0)
        self.channel = channel
        self.ready = False
        self.over = False
        self._closed = closed
        self._given = 0
        self._turn = 0
        self._room = select.poll()
        self._room.register(channel, select.POLLOUT)

    @property
    def rank(self) -> tuple[int, int]:
        """The lowest is next: that with the fewest connections, then that which has waited longest.

        Without the second, connections that are short would all go to the first worker.
        """
        return self._given - self._closed[0], self._turn

    def has_room(self) -> bool:
        """Whether the worker lives, and takes what it is given."""
        return [event for _, event in self._room.poll(0)] == [select.POLLOUT]

    def give(self, connection: socket.socket, turn: int) -> None:
        """Hand a connection over; the worker may have died at this moment.

        Raises:
            OSError: It is not handed over.
        """
        socket.send_fds(self.channel, [CONNECTION], [connection.fileno()])
        self._given += 1
        self._turn = turn

    def hear(self) -> None:
        """Take note of what the worker says."""
        try:
            word = self.channel.recv(len(READY))
        except OSError:
            word = b""
        if word == READY:
            self.ready = True
        else:
            self.end()

    def end(self) -> None:
        """Hand over no more, and say so; the worker takes what it has been given."""
        self.ready = False
        self.over = True
        # To close it would tell the worker that its parent is dead.
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)


class SharedPort:
    """Accepts the connections of a port, and gives each to the worker that has the fewest."""

    def __init__(self, host: str, port: int, log: Logger) -> None:
        """Listen, and accept nothing before a worker is ready.

        Args:
            host: A name or an address; every address where empty.
            port: 0 takes a free one.
            log: For what goes wrong with a connection.

        Raises:
            StartError: The port is not free.
        """
        try:
            self._listener = bound(host, port)
            self._listener.listen(BACKLOG)
        except OSError as error:
            raise StartError(f"Cannot listen on port {port}: {error.strerror}.") from error
        self._listener.settimeout(0)
        self.port = int(self._listener.getsockname()[1])
        self.rests_until = 0.0
        self._log = log
        self._lines: dict[int, _Line] = {}
        self._turns = 0

    def connect(self, number: int) -> Intake:
        """Make a channel to a worker that is about to start.

        Raises:
            OSError: Descriptors or memory are short.
        """
        # It is shared with the forked process, which alone writes to it.
        closed = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lines[number] = _Line(ours, closed)
        return Intake(theirs, closed)

    def disconnect(self, number: int) -> None:
        """Forget a worker that has ended; what it has not taken is closed by the kernel."""
        self._lines.pop(number).channel.close()

    def sources(self) -> dict[Source, Callable[[], None]]:
        """What to wait for, and what to do when it can be read."""
        lines = self._lines.values()
        sources: dict[Source, Callable[[], None]] = {
            line.channel: line.hear for line in lines if not line.over
        }
        if self.rests_until <= time.monotonic() and any(line.ready for line in lines):
            sources[self._listener] = self._deal_out
        return sources

    def stop(self) -> None:
        """Close the port, and tell the workers that no more comes."""
        self._listener.close()
        for line in self._lines.values():
            line.end()

    def close(self) -> None:
        """Close all that this process has of it; a worker that is forked must, too."""
        self._listener.close()
        for line in self._lines.values():
            line.channel.close()

    def _deal_out(self) -> None:
        for _ in range(AT_ONCE):
            line = self._next()
            if line is None:
                self.rests_until = time.monotonic() + NO_ROOM_S
                return
            connection = self._accepted()
            if connection is None:
                return
            self._turns += 1
            with connection:
                self._give(connection, line)

    def _next(self) -> _Line | None:
        ready = sorted((each for each in self._lines.values() if each.ready), key=lambda e: e.rank)
        return next((line for line in ready if line.has_room()), None)

    def _accepted(self) -> socket.socket | None:
        try:
            return self._listener.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            # Descriptors or memory are short. The connection still waits, so that to look again at
            # once would take a whole CPU.
            self._log.error("connection not accepted", reason=error.strerror)
            self.rests_until = time.monotonic() + NO_MEANS_S
            return None

    def _give(self, connection: socket.socket, line: _Line) -> None:
        try:
            line.give(connection, self._turns)
        except OSError as error:
            self._log.error("connection not handed over", reason=error.strerror)


def bound(host: str, port: int) -> socket.socket:
    """A TCP socket that has its address, and does not listen yet.

    Args:
        host: A name or an address; every address where empty.
        port: 0 takes a free one.

    Raises:
        OSError: The port is not free, or the host is no address of this machine.
    """
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    family, _, _, _, address = socket.getaddrinfo(host or None, port, type=kind, flags=flags)[0]
    made = socket.socket(family, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # As one process has it: "::" is not IPv4 too, whatever the system's default.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
