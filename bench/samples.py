"""What a load generator saw, and the figures that follow from it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.results import LoadFigures

OK = 200
NO_ANSWER = 0
NOT_SENT = -1
# Below so many answers a 99.9th percentile is little else than the maximum.
ANSWERS_FOR_P999 = 1000


@dataclass(frozen=True, slots=True)
class Samples:
    """One load, request by request, in the order in which the requests ended.

    All three arrays have the shape (requests,). ``intended_s`` is when a request should have been
    sent and ``finished_s`` when it ended, float64, both in seconds since the load began.
    ``statuses`` is int16: the HTTP status, NO_ANSWER where the connection broke or time ran out,
    NOT_SENT where no connection was free in time.

    ``start_s`` and ``stop_s`` bound the window that counts; what was intended before is warm-up.
    ``cpu_s`` is what the generator itself spent, and ``wall_s`` how long it ran.
    """

    intended_s: NDArray[np.float64]
    finished_s: NDArray[np.float64]
    statuses: NDArray[np.int16]
    start_s: float
    stop_s: float
    cpu_s: float
    wall_s: float


def merge(parts: Sequence[Samples]) -> Samples:
    """Put together what generators saw that ran side by side for the same load."""
    return Samples(
        intended_s=np.concatenate([part.intended_s for part in parts]),
        finished_s=np.concatenate([part.finished_s for part in parts]),
        statuses=np.concatenate([part.statuses for part in parts]),
        start_s=parts[0].start_s,
        # A load that is bounded by a number of requests ends when the last generator is through.
        stop_s=max(part.stop_s for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
        wall_s=max(part.wall_s for part in parts),
    )


def figures(rounds: Sequence[Samples], deadline_s: float | None = None) -> LoadFigures:
    """Compute throughput, latencies and counts.

    A latency counts from the intended time, so that a server which holds the generator up is
    charged for the requests that then leave late (no coordinated omission).

    Args:
        rounds: The same load at different times, at least one; latencies are pooled, throughput is
            the median.
        deadline_s: Where given, an answer counts for the throughput only if it came within it.
    """
    latencies_s = np.concatenate([_latencies(samples) for samples in rounds])
    p50, p99, largest = _percentiles_ms(latencies_s, (50, 99, 100))
    throughputs = tuple(_throughput(samples, deadline_s) for samples in rounds)
    enough = len(latencies_s) >= ANSWERS_FOR_P999
    return LoadFigures(
        throughput=float(np.median(throughputs)),
        throughput_by_round=throughputs,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=_percentiles_ms(latencies_s, (99.9,))[0] if enough else None,
        max_ms=largest,
        statuses=_statuses(rounds),
        generator_cores=sum(s.cpu_s for s in rounds) / sum(s.wall_s for s in rounds),
    )


def save(samples: Samples, file: Path) -> None:
    """Write samples for another process to load."""
    np.savez(
        file,
        intended_s=samples.intended_s,
        finished_s=samples.finished_s,
        statuses=samples.statuses,
        clocks_s=np.array([samples.start_s, samples.stop_s, samples.cpu_s, samples.wall_s]),
    )


def load(file: Path) -> Samples:
    """Read what ``save`` wrote."""
    with np.load(file) as arrays:
        start_s, stop_s, cpu_s, wall_s = (float(value) for value in arrays["clocks_s"])
        return Samples(
            arrays["intended_s"], arrays["finished_s"], arrays["statuses"],
            start_s, stop_s, cpu_s, wall_s,
        )  # fmt: skip


def _in_window(samples: Samples) -> NDArray[np.bool_]:
    return (samples.intended_s >= samples.start_s) & (samples.intended_s < samples.stop_s)


def _latencies(samples: Samples) -> NDArray[np.float64]:
    counted = _in_window(samples) & (samples.statuses == OK)
    latencies_s: NDArray[np.float64] = (samples.finished_s - samples.intended_s)[counted]
    return latencies_s


def _throughput(samples: Samples, deadline_s: float | None) -> float:
    finished = samples.finished_s
    counted = (samples.statuses == OK) & (finished >= samples.start_s) & (finished < samples.stop_s)
    if deadline_s is not None:
        counted &= finished - samples.intended_s <= deadline_s
    return float(counted.sum() / (samples.stop_s - samples.start_s))


def _percentiles_ms(
    latencies_s: NDArray[np.float64], percents: Sequence[float]
) -> tuple[float | None, ...]:
    if not len(latencies_s):
        return (None,) * len(percents)
    return tuple(float(value) * 1000 for value in np.percentile(latencies_s, percents))


def _statuses(rounds: Sequence[Samples]) -> dict[str, int]:
    names = {NO_ANSWER: "without answer", NOT_SENT: "not sent"}
    counts: Counter[int] = Counter()
    for samples in rounds:
        counts.update(samples.statuses[_in_window(samples)].tolist())
    return {names.get(status, str(status)): count for status, count in sorted(counts.items())}
