"""Where a worker gets its connections: its parent accepts them, and hands them over one by one."""

import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress

READY = b"r"
"""A worker says that it takes connections."""
ENOUGH = b"e"
"""A worker says that it takes no more."""
CONNECTION = b"c"
"""What comes with a connection: a message must not be empty, which is how the end looks."""
PATIENCE_S = 1.0


class Intake:
    """A worker's end of the channel to its parent."""

    def __init__(self, channel: socket.socket, closed: memoryview) -> None:
        """Take nothing yet.

        Args:
            channel: Where connections come from, and words go to.
            closed: The first item is how many connections have been closed; the parent reads it.
        """
        self._channel = channel
        self._closed = closed
        self._begun = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    def begin(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Take connections from now on.

        Args:
            make_protocol: For each connection; it has ``count_closed`` called when it is lost.
        """
        self._begun = True
        self._channel.settimeout(0)
        asyncio.get_running_loop().add_reader(self._channel, self._take, make_protocol)
        self._say(READY)

    async def end(self) -> None:
        """Ask for no more, and take what has been handed over before that was heard."""
        if not self._begun:
            return
        self._say(ENOUGH)
        # A parent that is stopped itself, by a debugger, would never answer.
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._over.wait(), PATIENCE_S)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count_closed(self) -> None:
        """Take note that a connection is gone: the next one may come here."""
        self._closed[0] += 1

    def wait_for_the_parent_to_die(self) -> None:
        """Block until nobody has the other end any more; one that hands out no more still has."""
        poll = select.poll()
        poll.register(self._channel, 0)
        poll.poll()

    def close(self) -> None:
        """Leave the channel: it is another process's."""
        self._channel.close()

    def _say(self, word: bytes) -> None:
        # A parent that is dead does not hear it, and has the worker stopped by that alone.
        with suppress(OSError):
            self._channel.send(word)

    def _take(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(
                self._channel, len(CONNECTION), 1, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        if descriptors:
            connection = socket.socket(fileno=descriptors[0])
            task = asyncio.create_task(self._serve(connection, make_protocol))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif message:
            # This process has as many files open as it may, so the kernel closed the connection.
            self.count_closed()
        else:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._over.set()

    async def _serve(
        self, connection: socket.socket, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        connection.settimeout(0)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(make_protocol, connection)
        except OSError:
            connection.close()
            self.count_closed()
