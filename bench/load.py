"""The load generator: one process, one event loop, the same for every server.

Closed loop: N connections, each of which sends its next request when it has its answer. Open loop:
requests are due at a constant rate; a latency counts from the time at which a request was due, so a
server that stalls is charged for all whom it kept waiting (no coordinated omission).

Requests are bytes that were encoded before the start, and httptools parses the answers in C. It
talks to this machine alone, and ends by itself. uvloop waits by whole milliseconds: a
request goes out up to one and a half too early or too late. asyncio's own loop would hit the time,
but takes a tenth of a core more where a server refuses, as its clients connect anew each time.
"""

import asyncio
import contextlib
import itertools
import math
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NotInTime
from multiprocessing import get_context
from typing import NamedTuple, TypeVar

import httptools
import numpy as np
import uvloop
from pebble import ProcessPool
from pydantic import BaseModel

T = TypeVar("T")

HOST = "127.0.0.1"
OK, NO_ANSWER, NOT_SENT = 200, 0, -1
# A server that is gone refuses every connection at once; that must not become a busy loop.
MAX_FAILURES_IN_A_ROW = 1000
# A radiograph should leave in one system call; the kernel grants what it may of this.
_SEND_BUFFER_BYTES = 1 << 20
_BOUNDARY = "radiograph-boundary"


class LoadFailed(Exception):
    """A load could not be put on a server, or ended without a result."""


class Load(NamedTuple):
    """What to send, where, and how fast.

    ``connections`` is how many there are in a closed loop, and the most that an open loop uses.
    ``rate_per_s`` makes it an open loop. The first ``warmup_s`` do not count. ``max_requests`` ends
    a closed loop early.
    """

    port: int
    connections: int
    seconds: float
    warmup_s: float = 0
    rate_per_s: float | None = None
    max_requests: int | None = None
    timeout_s: float = 30


class Figures(BaseModel):
    """What a load found. Rates are per second of answers with status 200, latencies are theirs.

    ``statuses`` counts every request of the window.
    """

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

    Returns:
        The requests in the order in which they ended, and when the last one was sent at the latest,
        in seconds of the load.

    Raises:
        LoadFailed: The server does not answer at all any more.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Generator(load, requests).run())


class _Generator:
    """The state of one load; all times are seconds since it began."""

    def __init__(self, load: Load, requests: Sequence[bytes]) -> None:
        self._load = load
        self._requests = itertools.cycle(requests)
        self._free = asyncio.Semaphore(load.connections)
        # The last to have an answer is used first: an open loop opens no more than it needs.
        self._idle: list[_Connection] = []
        self._records: list[Record] = []
        self._failures_in_a_row = 0
        self._began = time.perf_counter()

    async def run(self) -> tuple[list[Record], float]:
        load, rate = self._load, self._load.rate_per_s
        longest_s = load.warmup_s + load.seconds
        planned = math.ceil(rate * longest_s) if rate else load.max_requests or math.inf
        sent = 0
        async with asyncio.TaskGroup() as requests:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest_s):
                    while sent < planned and self._failures_in_a_row < MAX_FAILURES_IN_A_ROW:
                        if rate:
                            await asyncio.sleep(sent / rate - self._now())
                        await self._free.acquire()
                        requests.create_task(self._ask(sent / rate if rate else self._now()))
                        sent += 1
            stop_s = min(longest_s, self._now())
        for connection in self._idle:
            connection.transport.abort()
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise LoadFailed(f"{self._failures_in_a_row} requests in a row got no answer.")
        if rate:
            late = range(sent, int(planned))
            self._records += [Record(number / rate, stop_s, NOT_SENT) for number in late]
        return self._records, stop_s

    def _now(self) -> float:
        return time.perf_counter() - self._began

    async def _ask(self, intended_s: float) -> None:
        status = NO_ANSWER
        with contextlib.suppress(OSError):
            async with asyncio.timeout(self._load.timeout_s):
                status = await self._exchange(next(self._requests))
        self._records.append(Record(intended_s, self._now(), status))
        self._failures_in_a_row = self._failures_in_a_row + 1 if status == NO_ANSWER else 0
        self._free.release()

    async def _exchange(self, content: bytes) -> int:
        connection = self._idle.pop() if self._idle else None
        if connection is None or connection.transport.is_closing():
            loop = asyncio.get_running_loop()
            transport, connection = await loop.create_connection(_Connection, HOST, self._load.port)
            link = transport.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        try:
            status = await connection.ask(content)
        except asyncio.CancelledError:
            connection.transport.abort()
            raise
        if not connection.transport.is_closing():
            self._idle.append(connection)
        return status


class _Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection; an answer may come before all of its request has left."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, content: bytes) -> asyncio.Future[int]:
        """The status of the answer to a request, NO_ANSWER where the connection breaks."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(content)
        return self._answer

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end(NO_ANSWER)

    def on_message_complete(self) -> None:
        """Take an answer from the parser, which calls this."""
        self._end(self._parser.get_status_code())
        if not self._parser.should_keep_alive():
            self.transport.abort()

    def _end(self, status: int) -> None:
        if not self._answer.done():
            self._answer.set_result(status)
