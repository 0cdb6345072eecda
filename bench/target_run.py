"""One target through a run: its settings are tried out, then every round puts all loads on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.answers import check_answers
from bench.context import Context
from bench.errors import BenchError, LoadFailed
from bench.load import Load
from bench.measure import Measurement, measure, point
from bench.peers.config import PeerSettings
from bench.plan import BUSY_CONNECTIONS
from bench.processes import Memory
from bench.results import TargetResult, Trial
from bench.samples import figures
from bench.servers import Server
from bench.targets import Target

TRIAL_WARMUP_S = 1.0


@dataclass(frozen=True, slots=True)
class Round:
    """One start of a server, and all loads on it; ``closed`` is by number of connections."""

    start_up_s: float
    max_difference: float
    memory: Memory
    closed: dict[int, Measurement]
    open: Measurement


class TargetRun:
    """Measures one target, round by round. A failure ends its part in the run, and is kept."""

    def __init__(self, context: Context, target: Target) -> None:
        """Look whether the target can be measured at all."""
        self._context = context
        self._target = target
        self._settings = target.candidates[0]
        self._trials: tuple[Trial, ...] = ()
        self._rounds: list[Round] = []
        self._failure = target.missing(context.conditions)

    def choose_settings(self) -> None:
        """Try every candidate, and keep the one with the highest throughput."""
        candidates = self._target.candidates
        if self._failure or not self._context.plan.trial_s or len(candidates) == 1:
            return
        rates = [self._try(settings) for settings in candidates]
        self._trials = tuple(
            Trial(settings=str(settings), images_per_s=rate)
            for settings, rate in zip(candidates, rates, strict=True)
        )
        best = max(range(len(rates)), key=lambda number: rates[number] or 0.0)
        self._settings = candidates[best]

    def measure_round(self, expected: NDArray[np.float64]) -> None:
        """Start the server, check its answers, and put every load on it.

        Args:
            expected: The model's probabilities for every image, shape (images, classes).
        """
        if self._failure:
            return
        self._say(self._target.describe(self._settings))
        try:
            with self._context.running(self._target, self._settings) as server:
                self._rounds.append(self._measure(server, expected))
        except BenchError as error:
            self._failure = str(error)
            self._say(self._failure)

    def result(self) -> TargetResult:
        """All rounds together."""
        result = TargetResult(
            key=self._target.key,
            title=self._target.title,
            role=self._target.role,
            body=self._settings.body,
            settings=self._target.describe(self._settings),
            not_measured=self._failure,
            trials=self._trials,
        )
        return result if self._failure else result.model_copy(update=self._figures())

    def _say(self, text: str) -> None:
        self._context.say(f"{self._target.title}: {text}")

    def _try(self, settings: PeerSettings) -> float | None:
        plan, requests = self._context.plan, self._context.requests(settings)
        try:
            with self._context.running(self._target, settings) as server:
                server.ready(requests[0])
                load = Load(
                    port=server.port,
                    connections=BUSY_CONNECTIONS,
                    warmup_s=TRIAL_WARMUP_S,
                    seconds=plan.trial_s,
                )
                samples = measure(server, load, requests, plan.generators).samples
        except BenchError as error:
            self._say(f"tried {settings}: {error}")
            return None
        rate = figures([samples]).throughput
        self._say(f"tried {settings}: {rate:.0f} images/s")
        return rate

    def _measure(self, server: Server, expected: NDArray[np.float64]) -> Round:
        plan, requests = self._context.plan, self._context.requests(self._settings)
        start_up_s = server.ready(requests[0])
        max_difference = check_answers(server, requests, expected, self._target.tolerance)
        closed = {count: self._load(server, requests, count) for count in plan.connections}
        busy_per_s = figures([closed[BUSY_CONNECTIONS].samples]).throughput
        if not busy_per_s:
            raise LoadFailed(f"none of {BUSY_CONNECTIONS} connections got an answer")
        open_ = self._load(server, requests, max(closed), busy_per_s * plan.open_share)
        return Round(start_up_s, max_difference, server.memory(), closed, open_)

    def _load(
        self, server: Server, requests: Sequence[bytes], connections: int, rate: float | None = None
    ) -> Measurement:
        plan = self._context.plan
        load = Load(
            port=server.port,
            connections=connections,
            rate_per_s=rate,
            warmup_s=plan.warmup_s,
            seconds=plan.seconds,
        )
        measurement = measure(server, load, requests, plan.generators)
        found = figures([measurement.samples])
        kind = f"{connections} connections" if rate is None else f"open loop at {rate:.0f}/s"
        self._say(f"{kind}: {found.throughput:.0f} images/s, statuses {found.statuses}")
        return measurement

    def _figures(self) -> dict[str, object]:
        rounds = self._rounds
        return {
            "start_up_s": tuple(round_.start_up_s for round_ in rounds),
            "max_difference": max(round_.max_difference for round_ in rounds),
            "resident_bytes": max(round_.memory.resident for round_ in rounds),
            "proportional_bytes": max(round_.memory.proportional for round_ in rounds),
            "closed": {
                count: point([round_.closed[count] for round_ in rounds])
                for count in self._context.plan.connections
            },
            "open": point([round_.open for round_ in rounds]),
        }
