"""The ratios that the benchmark is run for, and what they should be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.plan import BUSY_CONNECTIONS
from bench.results import Overload, Point, Results, Soak, TargetResult
from bench.targets import OURS

MIB = 2**20
Sense = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure. ``bound`` is the goal; None where it is only reported."""

    name: str
    value: float
    unit: str = ""
    sense: Sense = "at least"
    bound: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound


def ratios(results: Results) -> tuple[Ratio, ...]:
    """All that the results have figures for."""
    measured = {target.key: target for target in results.measured}
    found: list[Ratio] = []
    if OURS in measured:
        found += _of_the_service(results, measured[OURS])
    if multipart := measured.get(f"{OURS}-multipart"):
        share = busy(multipart).load.throughput / results.limit.images_per_s
        found.append(Ratio("Throughput at 16, multipart ÷ in-process limit", share, bound=0.85))
    peers = [target for target in measured.values() if target.role == "peer"]
    if OURS in measured and peers:
        found += _against_peers(measured, peers)
    if OURS in measured and (before := measured.get(f"{OURS}-before")):
        found += _against_before(measured[OURS], before)
    if results.overload:
        found += _of_the_overload(results.overload)
    if results.soak:
        found.append(_of_the_soak(results.soak))
    return tuple(found)


def busy(target: TargetResult) -> Point:
    """A target's figures with 16 connections."""
    return target.closed[BUSY_CONNECTIONS]


def best_peer(peers: list[TargetResult]) -> TargetResult:
    """The peer with the highest throughput at 16 connections."""
    return max(peers, key=lambda peer: busy(peer).load.throughput)


def _of_the_service(results: Results, service: TargetResult) -> Iterator[Ratio]:
    limit, point = results.limit, busy(service)
    share = point.load.throughput / limit.images_per_s
    yield Ratio("Throughput at 16, raw body ÷ in-process limit", share, bound=0.90)
    alone = service.closed.get(1)
    if alone and alone.load.p50_ms:
        slower = alone.load.p50_ms / limit.sequential_ms
        name = "Latency at 1, median ÷ bare decode + run"
        yield Ratio(name, slower, sense="at most", bound=1.3)
    overhead_ms = point.cpu_ms_per_request - limit.cpu_ms_per_image
    yield Ratio("CPU per request beyond decode and model", overhead_ms, "ms", "at most", 0.6)
    # Workers share what they were forked with: added up for each, it would be counted twice.
    name = "Resident memory of all processes"
    yield Ratio(name, service.proportional_bytes / MIB, "MiB", "at most", 300)
    yield Ratio("Start to first answer", max(service.start_up_s), "s", "at most", 2)


def _against_peers(measured: dict[str, TargetResult], peers: list[TargetResult]) -> Iterator[Ratio]:
    service, best = busy(measured[OURS]), best_peer(peers)
    best_per_s = busy(best).load.throughput
    name = f"Throughput at 16 ÷ best peer ({best.title})"
    yield Ratio(name, service.load.throughput / best_per_s, bound=1.5)
    if int8 := measured.get(f"{OURS}-int8"):
        name = f"Throughput at 16, INT8 ÷ best peer ({best.title}), fp32"
        yield Ratio(name, busy(int8).load.throughput / best_per_s, bound=2)
    tails_ms = [p99_ms for peer in peers if (p99_ms := busy(peer).load.p99_ms)]
    if service.load.p99_ms and tails_ms:
        share = service.load.p99_ms / min(tails_ms)
        yield Ratio("p99 at 16 ÷ lowest p99 of a peer", share, sense="at most", bound=1)


def _against_before(service: TargetResult, before: TargetResult) -> Iterator[Ratio]:
    now, then = busy(service).load, busy(before).load
    yield Ratio("Throughput at 16 ÷ before", now.throughput / then.throughput)
    if now.p99_ms and then.p99_ms:
        yield Ratio("p99 at 16 ÷ before", now.p99_ms / then.p99_ms, sense="at most")


def _of_the_overload(overload: Overload) -> Iterator[Ratio]:
    times = f"{overload.factor:g} times capacity"
    share = overload.load.throughput / overload.peak_per_s
    yield Ratio(f"Goodput at {times} ÷ peak", share, bound=0.95)
    if overload.load.p99_ms:
        seconds = overload.load.p99_ms / 1000
        name = f"p99 of accepted requests at {times}"
        yield Ratio(name, seconds, "s", "at most", overload.deadline_s)
    if overload.health.max_ms:
        name = f"Slowest /health/live at {times}"
        yield Ratio(name, overload.health.max_ms, "ms", "at most", 50)


def _of_the_soak(soak: Soak) -> Ratio:
    first = soak.resident_bytes[0]
    drift = max(abs(size / first - 1) for size in soak.resident_bytes)
    name = f"Memory's drift over {soak.requests:,} requests"
    return Ratio(name, drift * 100, "%", "at most", 2)
