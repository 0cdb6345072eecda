"""The load generator: one process, one thread, one event loop, the same for every server.

Closed loop: N connections, each of which sends its next request when it has its answer. Open loop:
requests are due at a constant rate; a latency counts from the time at which a request was due, so a
server that stalls is charged for all whom it kept waiting (no coordinated omission).

Requests are bytes that were encoded before the start, and httptools parses the answers in C. It
talks to this machine alone, and ends by itself.
"""

import contextlib
import itertools
import math
import select
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NotInTime
from multiprocessing import get_context
from typing import NamedTuple, TypeVar

import httptools
import numpy as np
from pebble import ProcessPool
from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

HOST = "127.0.0.1"
OK, NO_ANSWER, NOT_SENT = 200, 0, -1
# A server that is gone refuses every connection at once; that must not become a busy loop.
MAX_FAILURES_IN_A_ROW = 1000
LONGEST_WAIT_S = 0.5
_BOUNDARY = "radiograph-boundary"


class LoadFailed(Exception):
    """A load could not be put on a server, or ended without a result."""


class Load(BaseModel):
    """What to send, where, and how fast.

    ``connections`` is how many there are in a closed loop, and the most that an open loop uses.
    ``rate_per_s`` makes it an open loop. The first ``warmup_s`` do not count. ``max_requests`` ends
    a closed loop early.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=1, le=65535)
    connections: int = Field(ge=1, le=4096)
    rate_per_s: float | None = Field(default=None, gt=0)
    warmup_s: float = Field(default=0, ge=0)
    seconds: float = Field(gt=0, le=600)
    max_requests: int | None = Field(default=None, ge=1)
    timeout_s: float = Field(default=30, gt=0)


class Figures(BaseModel):
    """What a load found. Rates are per second of answers with status 200, latencies are theirs.

    ``statuses`` counts every request of the window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    throughput: float
    p50_ms: float | None
    p99_ms: float | None
    statuses: dict[str, int]
    answers: int


class Record(NamedTuple):
    """One request: when it should have been sent and when it ended, in seconds of the load.

    ``status`` is that of HTTP, NO_ANSWER or NOT_SENT.
    """

    intended_s: float
    finished_s: float
    status: int


def figures(records: Sequence[Record], start_s: float, stop_s: float) -> Figures:
    """Throughput, latencies and counts of the window from ``start_s`` to ``stop_s``."""
    due = [each for each in records if start_s <= each.intended_s < stop_s]
    answers = [each for each in records if each.status == OK]
    latencies_ms = [(r.finished_s - r.intended_s) * 1000 for r in due if r.status == OK]
    p50, p99 = np.percentile(latencies_ms, (50, 99)) if latencies_ms else (None, None)
    names = {NO_ANSWER: "without answer", NOT_SENT: "not sent"}
    counts = sorted(Counter(each.status for each in due).items())
    return Figures(
        throughput=sum(start_s <= r.finished_s < stop_s for r in answers) / (stop_s - start_s),
        p50_ms=p50,
        p99_ms=p99,
        statuses={names.get(status, str(status)): count for status, count in counts},
        answers=len(answers),
    )


def request(path: str, image: bytes, body: str) -> bytes:
    """A POST of an image as HTTP/1.1, with the body ``raw`` or ``multipart``."""
    kind = "image/jpeg"
    if body == "multipart":
        disposition = 'Content-Disposition: form-data; name="file"; filename="image.jpeg"'
        head = f"--{_BOUNDARY}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n"
        image = head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(image)}\r\n\r\n"
    ).encode() + image


def run(load: Load, requests: Sequence[bytes]) -> Figures:
    """Run a load in a process of its own.

    Raises:
        LoadFailed: The server does not answer, or the generator did not end in time.
    """
    longest_s = load.warmup_s + load.seconds + 2 * load.timeout_s
    try:
        return in_own_process(_figures, load, requests, timeout_s=longest_s)
    except NotInTime as error:
        raise LoadFailed("The load generator did not end in time.") from error


def in_own_process(
    function: Callable[..., T], *arguments: object, timeout_s: float | None = None
) -> T:
    """Call a function of a module in a process that is gone afterwards, threads and all.

    Raises:
        TimeoutError: It took longer, and was ended.
        Exception: What the function raised.
    """
    with ProcessPool(max_workers=1, context=get_context("spawn")) as pool:
        return pool.schedule(function, arguments, timeout=timeout_s).result()


def _figures(load: Load, requests: Sequence[bytes]) -> Figures:
    records, stop_s = generate(load, requests)
    return figures(records, load.warmup_s, stop_s)


def generate(load: Load, requests: Sequence[bytes]) -> tuple[list[Record], float]:
    """Send requests, in turn from the first to the last and over again, and record what happens.

    Args:
        load: Where to send them, and how fast.
        requests: Whole HTTP/1.1 requests, at least one.

    Returns:
        The requests in the order in which they ended, and when the last one was sent at the latest,
        in seconds of the load.

    Raises:
        LoadFailed: The server does not answer at all any more.
    """
    with selectors.EpollSelector() as selector:
        generator = _Generator(load, requests, selector)
        try:
            return generator.run()
        finally:
            for connection in generator.connections:
                connection.close()


class _Generator:
    """The state of one load; all times are seconds since it began."""

    def __init__(
        self, load: Load, requests: Sequence[bytes], selector: selectors.EpollSelector
    ) -> None:
        self._load = load
        self._requests = itertools.cycle(requests)
        self._selector = selector
        self.connections = [_Connection(load.port, selector) for _ in range(load.connections)]
        self._free = list(self.connections)
        # The request that each connection is busy with: its intended time, and when it was sent.
        # The order is that of sending, so that the first is the first to time out.
        self._pending: dict[_Connection, tuple[float, float]] = {}
        self._records: list[Record] = []
        self._failures_in_a_row = 0
        self._stop_s = load.warmup_s + load.seconds
        open_loop = math.ceil((load.rate_per_s or 0) * self._stop_s)
        self._planned = open_loop or load.max_requests or math.inf
        self._sent = 0
        self._began = time.perf_counter()

    def run(self) -> tuple[list[Record], float]:
        """Run the load to its end."""
        self._began = time.perf_counter()
        while (now_s := self._now()) < self._stop_s and self._sent < self._planned:
            while self._free and self._due_s(now_s) <= now_s and self._sent < self._planned:
                self._send(self._due_s(now_s))
            # Without a free connection only an answer helps, whatever is due.
            self._wait(self._due_s(math.inf) - self._now() if self._free else LONGEST_WAIT_S)
        stop_s = min(self._stop_s, self._now())
        while self._pending:
            self._wait(LONGEST_WAIT_S)
        if self._load.rate_per_s is not None:
            late = range(self._sent, int(self._planned))
            rate = self._load.rate_per_s
            self._records += [Record(number / rate, stop_s, NOT_SENT) for number in late]
        return self._records, stop_s

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _due_s(self, otherwise_s: float) -> float:
        """When the next request is due: by the clock, or whenever a connection is free."""
        rate = self._load.rate_per_s
        return otherwise_s if rate is None else self._sent / rate

    def _send(self, intended_s: float) -> None:
        connection = self._free.pop()
        self._sent += 1
        self._pending[connection] = (intended_s, self._now())
        connection.send(next(self._requests))
        self._settle(connection)

    def _wait(self, longest_s: float) -> None:
        timeout_s = min(max(longest_s, 0), LONGEST_WAIT_S)
        if timeout_s < LONGEST_WAIT_S:
            # epoll counts whole milliseconds, select microseconds: a schedule needs the latter.
            select.select([self._selector], [], [], timeout_s)
            timeout_s = 0
        for key, events in self._selector.select(timeout_s):
            key.data.on_ready(events)
            self._settle(key.data)
        while self._pending:
            connection, (_, sent_s) = next(iter(self._pending.items()))
            if self._now() - sent_s < self._load.timeout_s:
                return
            connection.fail()
            self._settle(connection)

    def _settle(self, connection: "_Connection") -> None:
        """Record a request that has ended, and take its connection back once all of it was sent."""
        if connection.status is not None and connection in self._pending:
            intended_s, _ = self._pending.pop(connection)
            self._records.append(Record(intended_s, self._now(), connection.status))
            failed = connection.status == NO_ANSWER
            self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
            if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                raise LoadFailed(f"{self._failures_in_a_row} requests in a row got no answer.")
        if connection.is_done:
            connection.status = None
            self._free.append(connection)


class _Connection:
    """One keep-alive HTTP/1.1 connection that never blocks.

    ``status`` is that of the last answer, NO_ANSWER where it broke, None while none has come.
    """

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._port = port
        self._selector = selector
        self._socket: socket.socket | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._unsent = memoryview(b"")
        self._awaiting = False
        self.status: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether the answer has come and the request has left to its end."""
        return self.status is not None and not self._unsent

    def send(self, content: bytes) -> None:
        """Begin to send a request, on a new connection where none is open."""
        self._unsent, self._awaiting = memoryview(content), True
        self.on_ready(selectors.EVENT_WRITE)

    def on_ready(self, events: int) -> None:
        """Go on with what the socket is ready for."""
        try:
            if events & selectors.EVENT_WRITE:
                self._write()
            if events & selectors.EVENT_READ and self._socket and self._parser:
                data = self._socket.recv(65536)
                self._parser.feed_data(data) if data else self.fail()
        except BlockingIOError:
            return
        except (OSError, httptools.HttpParserError):
            self.fail()

    def fail(self) -> None:
        """Close; that is a failure only where an answer is still to come."""
        self.close()
        if self._awaiting:
            self._awaiting, self.status = False, NO_ANSWER

    def close(self) -> None:
        """Close, and forget what is under way."""
        self._unsent = memoryview(b"")
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def on_message_complete(self) -> None:
        """Take an answer from the parser, which calls this."""
        assert self._parser is not None, "the parser calls"  # noqa: S101 - for the type checker
        self._awaiting, self.status = False, self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()

    def _write(self) -> None:
        """Hand the kernel what it takes, and ask to be called for the rest."""
        connection = self._socket or self._open()
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[connection.send(self._unsent) :]
        rest = selectors.EVENT_WRITE if self._unsent else 0
        self._selector.modify(connection, selectors.EVENT_READ | rest, self)

    def _open(self) -> socket.socket:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A radiograph should leave in one system call; the kernel grants what it may of this.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        # It only begins to connect; what fails is told by the first read or write.
        self._socket.connect_ex((HOST, self._port))
        self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._parser = httptools.HttpResponseParser(self)
        return self._socket
