"""The in-process limit: decode, resize and run on all cores, with no HTTP and no client.

No server on the same machine can be faster, so its rate is what every other figure is divided by.
Run as ``python -m bench.limit JOB.json RESULT.json``, in a process of its own, whose threads are
gone when a server is measured.
"""

import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.results import Limit, Provider, SplitRate
from bench.sessions import open_session, read_image, run
from contract.manifest import read_manifest
from contract.preprocessing import PreprocessingSpec

GPU_BATCHES = (1, 8, 32)
Work = Callable[[int], None]


class LimitJob(BaseModel):
    """What to measure, and for how long each part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path
    images: Path
    provider: Provider
    cores: int
    seconds: float


class LimitRound(BaseModel):
    """One round. ``probabilities`` are the session's answers, image by image, (images, classes).

    The rates are images per second; ``cpu_ms`` is each split's CPU time per image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: tuple[tuple[int, int, int], ...]
    rates: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    decode_per_s: float
    run_per_s: float
    sequential_ms: float
    probabilities: tuple[tuple[float, ...], ...]


class Split(NamedTuple):
    """One way to use the cores: so many threads, each with so many images per run."""

    workers: int
    intra_op_threads: int
    batch: int


class Rate(NamedTuple):
    """Images per second, and milliseconds of CPU time per image."""

    per_s: float
    cpu_ms: float


def splits(cores: int, provider: Provider) -> tuple[Split, ...]:
    """The ways that are tried."""
    if provider == "cuda":
        return tuple(Split(cores, 1, batch) for batch in GPU_BATCHES)
    candidates = (
        Split(cores, 1, 1),
        Split(2 * cores, 1, 1),
        Split(cores, 1, 4),
        Split(cores, cores, 1),
        Split(1, cores, 1),
    )
    return tuple(dict.fromkeys(candidates))


def measure(job: LimitJob) -> LimitRound:
    """Measure one round of the limit."""
    files = [file.read_bytes() for file in sorted(job.images.iterdir())]
    spec = read_manifest(job.bundle).preprocessing
    ways = splits(job.cores, job.provider)
    rates = [_split_rate(job, files, spec, way) for way in ways]
    session = open_session(job.bundle, job.provider, 1)
    return LimitRound(
        splits=tuple(tuple(way) for way in ways),
        rates=tuple(rate.per_s for rate in rates),
        cpu_ms=tuple(rate.cpu_ms for rate in rates),
        decode_per_s=_decode_rate(job, files, spec),
        run_per_s=_run_rate(job, files, spec),
        sequential_ms=_sequential_ms(job, files, spec),
        probabilities=tuple(
            tuple(run(session, read_image(file, spec)[np.newaxis])[0].tolist()) for file in files
        ),
    )


def combine(rounds: Sequence[LimitRound], provider: Provider) -> Limit:
    """Put rounds together: medians, and the split that is best in them."""
    first = rounds[0]
    rates = [
        SplitRate(
            workers=workers,
            intra_op_threads=threads,
            batch=batch,
            images_per_s=tuple(round_.rates[number] for round_ in rounds),
        )
        for number, (workers, threads, batch) in enumerate(first.splits)
    ]
    medians = [statistics.median(rate.images_per_s) for rate in rates]
    best = medians.index(max(medians))
    decode_per_s = statistics.median(round_.decode_per_s for round_ in rounds)
    run_per_s = statistics.median(round_.run_per_s for round_ in rounds)
    return Limit(
        images_per_s=min(decode_per_s, run_per_s) if provider == "cuda" else medians[best],
        splits=tuple(rates),
        decode_per_s=decode_per_s,
        run_per_s=run_per_s,
        sequential_ms=statistics.median(round_.sequential_ms for round_ in rounds),
        cpu_ms_per_image=statistics.median(round_.cpu_ms[best] for round_ in rounds),
    )


def _split_rate(
    job: LimitJob, files: Sequence[bytes], spec: PreprocessingSpec, split: Split
) -> Rate:
    session = open_session(job.bundle, job.provider, split.intra_op_threads)

    def work(turn: int) -> None:
        numbers = range(turn * split.batch, (turn + 1) * split.batch)
        batch = [read_image(files[number % len(files)], spec) for number in numbers]
        run(session, np.stack(batch))

    return _rate(work, split.workers, split.batch, job.seconds)


def _decode_rate(job: LimitJob, files: Sequence[bytes], spec: PreprocessingSpec) -> float:
    def work(turn: int) -> None:
        read_image(files[turn % len(files)], spec)

    return _rate(work, job.cores, 1, job.seconds / 2).per_s


def _run_rate(job: LimitJob, files: Sequence[bytes], spec: PreprocessingSpec) -> float:
    """The model alone: on a CPU one image and thread per core, on a GPU the best batch."""
    image = read_image(files[0], spec)[np.newaxis]
    session = open_session(job.bundle, job.provider, 1)
    workers, batches = (2, GPU_BATCHES) if job.provider == "cuda" else (job.cores, (1,))
    return max(
        _rate(partial(_run_only, session, image.repeat(batch, 0)), workers, batch, job.seconds / 2)
        .per_s
        for batch in batches
    )  # fmt: skip


def _run_only(session: Any, images: Any, _turn: int) -> None:  # noqa: ANN401 - partial's arguments
    run(session, images)


def _sequential_ms(job: LimitJob, files: Sequence[bytes], spec: PreprocessingSpec) -> float:
    """The median time for one image after another, at the better number of threads."""
    medians = []
    for threads in {1, job.cores}:
        session = open_session(job.bundle, job.provider, threads)
        times_ms = []
        deadline = time.perf_counter() + job.seconds / 2
        for file in itertools.cycle(files):
            began = time.perf_counter()
            run(session, read_image(file, spec)[np.newaxis])
            times_ms.append((time.perf_counter() - began) * 1000)
            if time.perf_counter() > deadline and len(times_ms) >= len(files):
                break
        medians.append(statistics.median(times_ms[len(files) // 2 :]))
    return min(medians)


def _rate(work: Work, workers: int, images_per_turn: int, seconds: float) -> Rate:
    """Have threads work for a time, after one turn that does not count."""
    turns = itertools.count()
    stopped = threading.Event()

    def loop() -> int:
        finished = 0
        while not stopped.is_set():
            work(next(turns))
            finished += 1
        return finished

    work(0)
    with ThreadPoolExecutor(workers) as pool:
        began, cpu_began = time.perf_counter(), time.process_time()
        loops = [pool.submit(loop) for _ in range(workers)]
        time.sleep(seconds)
        stopped.set()
        images = sum(future.result() for future in loops) * images_per_turn
    elapsed, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return Rate(images / elapsed, cpu_s * 1000 / images)


def main(job_file: str, result_file: str) -> None:
    """Read a job, do it, write its result."""
    job = LimitJob.model_validate_json(Path(job_file).read_text())
    Path(result_file).write_text(measure(job).model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
