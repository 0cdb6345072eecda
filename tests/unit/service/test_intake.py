import asyncio
import mmap
import resource
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from service import intake as module
from service.intake import CONNECTION, ENOUGH, READY, Intake


class Kept(asyncio.Protocol):
    """What has been connected, in the order in which it was."""

    def __init__(self, made: list[asyncio.BaseTransport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(transport)


@contextmanager
def channel() -> Iterator[tuple[socket.socket, Intake, memoryview]]:
    closed = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, Intake(theirs, closed), closed


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection, the client's first."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        yield client, accepted


def run(main: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def test_what_was_handed_over_before_the_end_is_taken() -> None:
    made: list[asyncio.BaseTransport] = []

    async def worker() -> None:
        intake.begin(lambda: Kept(made))
        words.append(parent.recv(1))
        socket.send_fds(parent, [CONNECTION], [accepted.fileno()])
        parent.shutdown(socket.SHUT_WR)
        await intake.end()
        words.append(parent.recv(1))
        taken.append(made[0].get_extra_info("peername"))
        made[0].close()
        await asyncio.sleep(0)

    words: list[bytes] = []
    taken: list[object] = []
    with channel() as (parent, intake, _), connection() as (client, accepted):
        run(worker())

        assert words == [READY, ENOUGH]
        assert taken == [client.getsockname()]


def test_an_end_does_not_wait_for_ever_for_a_parent_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def worker() -> None:
        intake.begin(asyncio.Protocol)
        await intake.end()

    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    with channel() as (_, intake, _):
        run(worker())


def test_the_end_of_what_never_began_is_nothing() -> None:
    with channel() as (_, intake, _):
        run(intake.end())


def test_a_connection_that_there_is_no_descriptor_for_counts_as_closed() -> None:
    async def worker() -> None:
        intake.begin(asyncio.Protocol)
        socket.send_fds(parent, [CONNECTION], [accepted.fileno()])
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            parent.shutdown(socket.SHUT_WR)
            await intake.end()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    with channel() as (parent, intake, closed), connection() as (_, accepted):
        run(worker())

        assert closed[0] == 1


def test_a_connection_that_cannot_be_taken_is_closed_and_counts_so() -> None:
    def fail() -> asyncio.Protocol:
        raise OSError

    async def worker() -> None:
        intake.begin(fail)
        socket.send_fds(parent, [CONNECTION], [accepted.fileno()])
        accepted.close()
        parent.shutdown(socket.SHUT_WR)
        await intake.end()

    with channel() as (parent, intake, closed), connection() as (client, accepted):
        run(worker())

        client.settimeout(10)
        assert client.recv(1) == b""
        assert closed[0] == 1


def test_the_parent_is_dead_when_nobody_has_its_end() -> None:
    with channel() as (parent, intake, _):
        waiting = threading.Thread(target=intake.wait_for_the_parent_to_die)
        waiting.start()
        parent.shutdown(socket.SHUT_WR)
        waiting.join(timeout=0.1)
        told_the_end = waiting.is_alive()
        parent.close()
        waiting.join(timeout=10)

        assert told_the_end
        assert not waiting.is_alive()
