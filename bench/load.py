"""The load generator: one process, one thread, one event loop, the same for every server.

Closed loop: N connections, each of which sends its next request when it has its answer. Open loop:
requests are due at a constant rate; a latency counts from the time at which a request was due,
not from the time at which a connection became free for it, so a server that stalls is charged for
all whom it kept waiting (no coordinated omission).

Why not ``wrk``: it has no open loop, and it is one more package to install. Here a request is bytes
that were encoded before the start, an answer is parsed in C by httptools, and little else happens;
with radiographs of 200 KB most of the cost is the kernel's copy, which ``wrk`` pays as well. What
the generator costs is part of every result (``generator_cores``): where it nears one core, the load
needs several generators.

It talks to this machine only, and ends by itself: after the given time, or number of requests, and
at most ``timeout_s`` later for the answers that are still to come.

Run as ``python -m bench.load LOAD.json SAMPLES.npz``; ``bench.generator`` does.
"""

import ipaddress
import itertools
import select
import selectors
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from bench.connection import BROKEN, Connection
from bench.errors import LoadFailed, NotLoopback
from bench.pace import ClosedLoop, OpenLoop, Pace
from bench.samples import NO_ANSWER, NOT_SENT, Samples, save
from bench.wire import HOST

# A server that is gone refuses every connection at once; that must not become a busy loop.
MAX_FAILURES_IN_A_ROW = 1000
LONGEST_WAIT_S = 0.5


class Load(BaseModel):
    """What to send, where, and how fast.

    ``connections`` is how many there are in a closed loop, and the most that an open loop uses.
    ``rate_per_s`` makes it an open loop. The first ``warmup_s`` do not count. ``max_requests`` ends
    a closed loop early.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = HOST
    port: int = Field(ge=1, le=65535)
    connections: int = Field(ge=1, le=4096)
    rate_per_s: float | None = Field(default=None, gt=0)
    warmup_s: float = Field(default=0, ge=0)
    seconds: float = Field(gt=0, le=3600)
    max_requests: int | None = Field(default=None, ge=1)
    timeout_s: float = Field(default=60, gt=0)


def generate(load: Load, requests: Sequence[bytes]) -> Samples:
    """Send requests, in turn from the first to the last and over again, and record what happens.

    Args:
        load: Where to send them, and how fast.
        requests: Whole HTTP/1.1 requests, at least one.

    Raises:
        NotLoopback: The host is another machine.
        LoadFailed: The server does not answer at all any more.
    """
    if not ipaddress.ip_address(load.host).is_loopback:
        raise NotLoopback(f"{load.host} is not this machine, and the benchmark loads no other.")
    with selectors.EpollSelector() as selector:
        generator = _Generator(load, requests, selector)
        try:
            return generator.run()
        finally:
            generator.close()


class _Generator:
    """The state of one load."""

    def __init__(
        self, load: Load, requests: Sequence[bytes], selector: selectors.EpollSelector
    ) -> None:
        self._load = load
        self._requests = itertools.cycle(requests)
        self._selector = selector
        self._connections = [
            Connection((load.host, load.port), selector) for _ in range(load.connections)
        ]
        self._free = list(self._connections)
        # The request that each connection is busy with: its intended time, and when it was sent.
        # The order is that of sending, so that the first is the first to time out.
        self._pending: dict[Connection, tuple[float, float]] = {}
        # Connections that were answered before they had sent all of their request.
        self._draining: set[Connection] = set()
        self._records: list[tuple[float, float, int]] = []
        self._failures_in_a_row = 0
        self._began = time.perf_counter()

    def run(self) -> Samples:
        """Run the load to its end."""
        stop_s = self._load.warmup_s + self._load.seconds
        pace = _pace(self._load, stop_s)
        cpu_began_s = time.process_time()
        self._began = time.perf_counter()
        while not pace.is_over(self._now()):
            self._send_what_is_due(pace)
            # Without a free connection only an answer helps, whatever is due.
            self._wait(pace.wait_s(self._now()) if self._free else LONGEST_WAIT_S)
        wall_s, cpu_s = self._now(), time.process_time() - cpu_began_s
        stopped_s = min(stop_s, wall_s)
        while self._pending:
            self._wait(LONGEST_WAIT_S)
        self._records += [(intended_s, stopped_s, NOT_SENT) for intended_s in pace.overdue()]
        return self._samples(stopped_s, cpu_s, wall_s)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.close()

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _send_what_is_due(self, pace: Pace) -> None:
        while self._free and (intended_s := pace.due(self._now())) is not None:
            connection = self._free.pop()
            self._pending[connection] = (intended_s, self._now())
            if connection.send(next(self._requests)) is not None:
                self._finish(connection, BROKEN)
                self._release(connection)

    def _wait(self, longest_s: float) -> None:
        timeout_s = min(longest_s, LONGEST_WAIT_S)
        if timeout_s < LONGEST_WAIT_S:
            # epoll counts whole milliseconds, select microseconds: a schedule needs the latter.
            select.select([self._selector], [], [], timeout_s)
            timeout_s = 0
        for key, events in self._selector.select(timeout_s):
            connection: Connection = key.data
            status = connection.on_ready(events)
            if status is not None:
                self._finish(connection, status)
            self._release(connection)
        self._time_out()

    def _finish(self, connection: Connection, status: int) -> None:
        intended_s, _ = self._pending.pop(connection)
        self._records.append((intended_s, self._now(), NO_ANSWER if status == BROKEN else status))
        self._draining.add(connection)
        self._failures_in_a_row = self._failures_in_a_row + 1 if status == BROKEN else 0
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise LoadFailed(f"{self._failures_in_a_row} requests in a row got no answer.")

    def _release(self, connection: Connection) -> None:
        """Take a connection back, once, when it is answered and has sent all of its request."""
        if connection in self._draining and connection.is_free:
            self._draining.remove(connection)
            self._free.append(connection)

    def _time_out(self) -> None:
        now_s = self._now()
        while self._pending:
            connection, (_, sent_s) = next(iter(self._pending.items()))
            if now_s - sent_s < self._load.timeout_s:
                return
            connection.close()
            self._finish(connection, BROKEN)
            self._release(connection)

    def _samples(self, stopped_s: float, cpu_s: float, wall_s: float) -> Samples:
        intended_s, finished_s, statuses = zip(*self._records, strict=True)
        return Samples(
            intended_s=np.array(intended_s),
            finished_s=np.array(finished_s),
            statuses=np.array(statuses, np.int16),
            start_s=self._load.warmup_s,
            stop_s=stopped_s,
            cpu_s=cpu_s,
            wall_s=wall_s,
        )


def _pace(load: Load, stop_s: float) -> Pace:
    if load.rate_per_s is None:
        return ClosedLoop(stop_s, load.max_requests)
    return OpenLoop(load.rate_per_s, stop_s)


def main(load_file: str, samples_file: str) -> None:
    """Read a load and its requests (``requests/*`` beside it), run it, write the samples."""
    load = Load.model_validate_json(Path(load_file).read_text())
    folder = Path(load_file).parent / "requests"
    requests = [file.read_bytes() for file in sorted(folder.iterdir())]
    save(generate(load, requests), Path(samples_file))


if __name__ == "__main__":
    main(*sys.argv[1:])
