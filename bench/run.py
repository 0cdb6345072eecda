"""One run: the limit and every target, interleaved in rounds; then overload and soak."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.context import Context
from bench.endurance import measure_overload, measure_soak
from bench.errors import LoadFailed
from bench.generator import last_line
from bench.limit import LimitJob, LimitRound, combine
from bench.machine import describe_machine, revision
from bench.results import Limit, ModelFacts, Overload, Results, Soak, TargetResult
from bench.target_run import TargetRun
from bench.targets import OURS, REPOSITORY, Target
from contract.manifest import MODEL_FILE, read_manifest


@dataclass(frozen=True, slots=True)
class Extras:
    """What is measured besides the targets. ``before`` is the other checkout, if there is one."""

    overload: bool
    before: Path | None


def measure_all(context: Context, targets: Sequence[Target], extras: Extras) -> Results:
    """Measure everything.

    Raises:
        LoadFailed: The limit, or the overload or soak of this service, could not be measured.
        ServerFailed: This service does not start once more for them.
    """
    started_at = datetime.now(UTC)
    runs = [TargetRun(context, target) for target in targets]
    limit = _measure_rounds(context, runs)
    results = tuple(run.result() for run in runs)
    overload, soak = _endure(context, targets, results, extras)
    return Results(
        started_at=started_at,
        finished_at=datetime.now(UTC),
        revision=revision(REPOSITORY),
        before=revision(extras.before) if extras.before else None,
        provider=context.conditions.provider,
        quick=context.plan.quick,
        rounds=context.plan.rounds,
        seconds=context.plan.seconds,
        machine=describe_machine(),
        images=context.images.facts,
        model=_model_facts(context.conditions.bundle),
        limit=limit,
        targets=results,
        overload=overload,
        soak=soak,
    )


def _measure_rounds(context: Context, runs: Sequence[TargetRun]) -> Limit:
    """The limit and all targets in turn, again and again, so that drift touches all alike."""
    for run in runs:
        run.choose_settings()
    limits: list[LimitRound] = []
    for number in range(context.plan.rounds):
        context.say(f"round {number + 1} of {context.plan.rounds}: the in-process limit")
        limits.append(_limit_round(context))
        expected = np.array(limits[0].probabilities)
        for run in runs:
            run.measure_round(expected)
    return combine(limits, context.conditions.provider)


def _endure(
    context: Context, targets: Sequence[Target], results: Sequence[TargetResult], extras: Extras
) -> tuple[Overload | None, Soak | None]:
    service = next((target for target in targets if target.key == OURS), None)
    peak_per_s = _peak(results)
    if service is None or not peak_per_s:
        return None, None
    overload = measure_overload(context, service, peak_per_s) if extras.overload else None
    soak = measure_soak(context, service) if context.plan.soak_requests else None
    return overload, soak


def _peak(results: Sequence[TargetResult]) -> float | None:
    """The best throughput of this service with a raw body."""
    rates = [
        point.load.throughput
        for result in results
        if result.key == OURS
        for point in result.closed.values()
    ]
    return max(rates, default=None)


def _limit_round(context: Context) -> LimitRound:
    """Measure the limit in a process of its own, whose threads are then gone."""
    folder = context.conditions.scratch / "limit"
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(context.images.files):
        (images / f"{number:05d}").write_bytes(image)
    job = LimitJob(
        bundle=context.conditions.bundle,
        images=images,
        provider=context.conditions.provider,
        cores=context.conditions.cores,
        seconds=context.plan.seconds,
    )
    (folder / "job.json").write_text(job.model_dump_json())
    command = (sys.executable, "-m", "bench.limit", folder / "job.json", folder / "result.json")
    ended = subprocess.run(  # noqa: S603 - this project's own module
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        raise LoadFailed(f"The limit was not measured: {last_line(ended.stderr)}")
    return LimitRound.model_validate_json((folder / "result.json").read_text())


def _model_facts(bundle: Path) -> ModelFacts:
    manifest = read_manifest(bundle)
    return ModelFacts(
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        bytes=(bundle / MODEL_FILE).stat().st_size,
        height=manifest.preprocessing.height,
        width=manifest.preprocessing.width,
    )
