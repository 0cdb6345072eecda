import io
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from service.errors import StartError
from service.intake import ENOUGH, READY, Intake
from service.logs import make_logger
from service.shared_port import SharedPort
from tests.integration.live import eventually


@contextmanager
def shared_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[SharedPort, io.BytesIO]]:
    log = io.BytesIO()
    shared = SharedPort(host, port, make_logger("info", log))
    try:
        yield shared, log
    finally:
        shared.close()


class Worker:
    """In the place of a worker: it keeps what it is given."""

    def __init__(self, shared: SharedPort, number: int, stack: ExitStack) -> None:
        intake = shared.connect(number)
        stack.callback(intake.close)
        self.intake: Intake = intake
        self.channel = intake._channel
        self.channel.settimeout(0)
        self.connections: list[socket.socket] = []
        self._stack = stack

    def say(self, word: bytes) -> None:
        self.channel.send(word)

    def take(self) -> int:
        """Take what there is; how many connections it has."""
        while select.select([self.channel], [], [], 0)[0]:
            message, descriptors, _, _ = socket.recv_fds(self.channel, 1, 1)
            if not message:
                break
            self.connections.append(self._stack.enter_context(socket.socket(fileno=descriptors[0])))
        return len(self.connections)


def client(shared: SharedPort, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", shared.port)))


def work(shared: SharedPort) -> None:
    """Do all that there is to do."""
    while True:
        sources = shared.sources()
        ready, _, _ = select.select(list(sources), [], [], 0)
        if not ready:
            return
        for each in ready:
            sources[each]()


def test_the_next_connection_goes_where_the_fewest_are_open() -> None:
    with shared_port() as (shared, _), ExitStack() as stack:
        first, second = (Worker(shared, number, stack) for number in range(2))
        for worker in (first, second):
            worker.say(READY)
        for _ in range(8):
            client(shared, stack)
        work(shared)
        spread = (first.take(), second.take())
        for _ in range(3):
            second.intake.count_closed()
        for _ in range(3):
            client(shared, stack)
        work(shared)

        assert spread == (4, 4)
        assert (first.take(), second.take()) == (4, 7)


def test_workers_take_turns_at_connections_that_are_short() -> None:
    with shared_port() as (shared, _), ExitStack() as stack:
        workers = [Worker(shared, number, stack) for number in range(3)]
        for worker in workers:
            worker.say(READY)
        work(shared)
        for _ in range(6):
            before = [worker.take() for worker in workers]
            client(shared, stack)
            work(shared)
            for worker, taken in zip(workers, before, strict=True):
                if worker.take() > taken:
                    worker.intake.count_closed()

        assert [worker.take() for worker in workers] == [2, 2, 2]


def test_nothing_is_accepted_while_no_worker_takes_it() -> None:
    with shared_port() as (shared, _), ExitStack() as stack:
        worker = Worker(shared, 0, stack)
        client(shared, stack)
        work(shared)
        before = worker.take()
        worker.say(READY)
        work(shared)
        ready = worker.take()
        worker.say(ENOUGH)
        work(shared)
        client(shared, stack)
        work(shared)

        assert (before, ready, worker.take()) == (0, 1, 1)
        # The end is told, so that the worker knows that it has taken everything.
        assert worker.channel.recv(1) == b""


def test_a_worker_that_falls_behind_is_not_waited_for() -> None:
    with shared_port() as (shared, _), ExitStack() as stack:
        worker = Worker(shared, 0, stack)
        worker.say(READY)
        work(shared)
        # The worker takes nothing, so the channel fills up; the rest waits in the backlog.
        for _ in range(400):
            client(shared, stack)
            work(shared)
        behind = worker.take()

        def all_taken() -> bool:
            work(shared)
            return worker.take() == 400

        eventually(all_taken)
        assert 0 < behind < 400


def test_a_connection_of_a_worker_that_has_died_is_closed() -> None:
    with shared_port() as (shared, _), ExitStack() as stack:
        dead, other = (Worker(shared, number, stack) for number in range(2))
        dead.say(READY)
        work(shared)
        lost = client(shared, stack)
        work(shared)
        dead.intake.close()
        other.say(READY)
        work(shared)
        client(shared, stack)
        work(shared)
        shared.disconnect(0)

        lost.settimeout(10)
        assert lost.recv(1) == b""
        assert other.take() == 1


def test_without_a_free_descriptor_it_rests_and_goes_on() -> None:
    with shared_port() as (shared, log), ExitStack() as stack:
        worker = Worker(shared, 0, stack)
        worker.say(READY)
        work(shared)
        client(shared, stack)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            work(shared)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        resting = (worker.take(), shared._listener in shared.sources())
        shared.rests_until = 0
        work(shared)

        assert resting == (0, False)
        assert worker.take() == 1
        assert log.getvalue().count(b"connection not accepted") == 1


def test_a_port_that_another_service_has_is_refused_until_that_one_ends() -> None:
    with shared_port() as (first, _):
        with pytest.raises(StartError, match="Address already in use"):
            SharedPort("localhost", first.port, make_logger("info", io.BytesIO()))
        port = first.port
    with shared_port("localhost", port):
        pass


def test_every_address_of_ipv6_leaves_ipv4_to_others() -> None:
    if not socket.has_ipv6:
        pytest.skip("this system has no IPv6")

    with shared_port("::") as (shared, _), socket.socket() as other:
        other.bind(("0.0.0.0", shared.port))  # noqa: S104 - nothing listens there
