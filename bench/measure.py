"""Measures one load on one running server."""

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bench import generator
from bench.load import Load
from bench.processes import machine_cpu_s
from bench.results import Point
from bench.samples import OK, Samples, figures
from bench.servers import Server


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds: of the server, of everything else that the benchmark ran, of the machine."""

    server_s: float
    generators_s: float
    machine_s: float
    clock_s: float

    @classmethod
    def now(cls, server: Server) -> Self:
        """Read the counters. Those of a generator appear when it has ended."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            server_s=server.cpu_s(),
            generators_s=own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime,
            machine_s=machine_cpu_s(),
            clock_s=time.perf_counter(),
        )

    def since(self, before: Self) -> "Costs":
        """What was spent in between."""
        return Costs(
            server_s=self.server_s - before.server_s,
            generators_s=self.generators_s - before.generators_s,
            machine_s=self.machine_s - before.machine_s,
            clock_s=self.clock_s - before.clock_s,
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load, once: what the generator saw, and what it cost."""

    samples: Samples
    costs: Costs


def measure(server: Server, load: Load, requests: Sequence[bytes], generators: int) -> Measurement:
    """Run a load on a server.

    Raises:
        LoadFailed: A load generator failed.
    """
    before = Costs.now(server)
    samples = generator.run(load, requests, generators)
    return Measurement(samples, Costs.now(server).since(before))


def point(rounds: Sequence[Measurement], deadline_s: float | None = None) -> Point:
    """The figures of the same load in several rounds."""
    return Point(
        load=figures([measurement.samples for measurement in rounds], deadline_s),
        cpu_ms_per_request=statistics.median(_cpu_ms_per_request(m) for m in rounds),
        foreign_cores=max(_foreign_cores(m.costs) for m in rounds),
    )


def _cpu_ms_per_request(measurement: Measurement) -> float:
    """Over the whole load: the server's CPU time cannot be split into warm-up and the rest."""
    answers = int((measurement.samples.statuses == OK).sum())
    return measurement.costs.server_s * 1000 / max(1, answers)


def _foreign_cores(costs: Costs) -> float:
    """Clock ticks are coarse, so a little less than nothing may come out."""
    foreign_s = costs.machine_s - costs.server_s - costs.generators_s
    return max(0.0, foreign_s / costs.clock_s)
