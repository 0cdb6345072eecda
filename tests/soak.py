"""``python -m tests.soak``: the service under a steady load of good and hostile files.

An open loop at a share of what it measured before. Every answer is compared with the first one for
the same file; memory, descriptors, threads and the tail of the latencies must stay as they were.
"""

import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import typer
from pydicom.uid import JPEG2000Lossless

from tests.integration.live import process
from tests.synthetic import as_dicom, as_jpeg, synthetic_radiograph

REPOSITORY = Path(__file__).parents[1]
HOSTILE = sorted((REPOSITORY / "tests" / "cases" / "hostile").iterdir())
HOSTILE_SHARE, NOT_PLAIN_SHARE, LOAD = 0.05, 0.05, 0.7
CALIBRATION_S, SAMPLE_S = 20.0, 5.0
DRIFT, GROWTH, DESCRIPTORS = 0.10, 0.05, 8


@dataclass
class Sample:
    """What the service holds at a moment, with its decoders."""

    at: float
    pss_bytes: int
    descriptors: int
    threads: int


@dataclass
class Run:
    """What was seen. ``latencies`` are of good files: when one was due, and how long it took."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[object] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    expected: dict[int, object] = field(default_factory=dict)


def bodies() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Drawn radiographs, some that are not plain, and the hostile cases."""
    plain = [as_jpeg(synthetic_radiograph(1100, 1200, seed=n)) for n in range(16)]
    coded = [
        as_dicom(synthetic_radiograph(700, 800, seed=n), TransferSyntaxUID=JPEG2000Lossless)
        for n in range(4)
    ]
    return plain, coded, [file.read_bytes() for file in HOSTILE if file.is_file()]


async def post(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream"}
    return await client.post("/predict/image", content=body, headers=headers)


def said(answer: httpx.Response) -> object:
    """What must be the same for the same file."""
    body = answer.json()
    if answer.status_code != httpx.codes.OK:
        return answer.status_code, body["type"]
    [result] = body["results"]
    return result["decision"], [each["probability"] for each in result["findings"]]


async def capacity(client: httpx.AsyncClient, draw: Callable[[], tuple[bytes, bool]]) -> float:
    """Answers a second of sixteen clients that wait for each answer, of files as they will come."""
    begun, answered = time.monotonic(), 0

    async def one() -> None:
        nonlocal answered
        while time.monotonic() < begun + CALIBRATION_S:
            await post(client, draw()[0])
            answered += 1

    await asyncio.gather(*(one() for _ in range(16)))
    return answered / (time.monotonic() - begun)


async def ask(client: httpx.AsyncClient, run: Run, body: bytes, due: float, *, good: bool) -> None:
    try:
        answer = await post(client, body)
    except httpx.TransportError:
        run.statuses[0] += 1
        return
    run.statuses[answer.status_code] += 1
    if good and answer.status_code == httpx.codes.OK:
        run.latencies.append((due, time.monotonic() - due))
    if answer.status_code in (429, 503):
        return
    told = said(answer)
    if (expected := run.expected.setdefault(hash(body), told)) != told:
        run.wrong.append((len(body), expected, told))


def sample(pid: int) -> Sample:
    every = [pid, *_children(pid)]
    pss, descriptors, threads = 0, 0, 0
    for each in every:
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            pss += int(rollup.split("\nPss:")[1].split()[0]) * 1024
            descriptors += len(list(Path(f"/proc/{each}/fd").iterdir()))
            threads += len(list(Path(f"/proc/{each}/task").iterdir()))
        except OSError:
            continue
    return Sample(time.monotonic(), pss, descriptors, threads)


def _children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def soak(url: str, pid: int, seconds: float, seed: int) -> tuple[Run, float]:
    """Put the load on for so long; the rate is in requests a second."""
    plain, coded, hostile = bodies()
    run, draw = Run(), random.Random(seed)  # noqa: S311 - no secret
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        for body in (*plain, *coded, *hostile):
            await ask(client, run, body, time.monotonic(), good=False)

        def drawn() -> tuple[bytes, bool]:
            kind = draw.random()
            good = kind >= HOSTILE_SHARE
            choice = hostile if not good else coded if kind < 2 * NOT_PLAIN_SHARE else plain
            return draw.choice(choice), good

        rate = LOAD * await capacity(client, drawn)
        run.statuses.clear()
        started = due = time.monotonic()
        shown, tasks = started, set()
        while due < started + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            body, good = drawn()
            task = asyncio.create_task(ask(client, run, body, due, good=good))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if due >= shown:
                run.samples.append(sample(pid))
                shown += SAMPLE_S
                _show(run, due - started, seconds)
            due += draw.expovariate(rate)
        await asyncio.gather(*tasks)
    return run, rate


def _show(run: Run, done_s: float, seconds: float) -> None:
    last = run.samples[-1]
    sys.stderr.write(
        f"\r{done_s:.0f} of {seconds:.0f} s, {sum(run.statuses.values())} answers, "
        f"{len(run.wrong)} wrong, {last.pss_bytes / 2**20:.0f} MiB, "
        f"{last.descriptors} descriptors   "
    )


def verdicts(run: Run, *, timing: bool) -> dict[str, tuple[str, bool]]:
    """What was found, by name, and whether it holds."""
    quarters = len(run.samples) // 4
    early, late = run.samples[quarters : 2 * quarters], run.samples[-quarters:]
    memory = [statistics.median(each.pss_bytes for each in part) for part in (early, late)]
    # Connections come and go: what is left when there are few would be a leak.
    files = [min(each.descriptors for each in part) for part in (early, late)]
    threads = [max(each.threads for each in part) for part in (early, late)]
    middle = run.latencies[len(run.latencies) // 2][0]
    p99 = [
        statistics.quantiles([s for due, s in run.latencies if (due < middle) == first], n=100)[98]
        for first in (True, False)
    ]
    drift = p99[1] / p99[0] - 1
    failed = sum(n for status, n in run.statuses.items() if status >= 500 or status == 0)
    return {
        "wrong answers": (f"{len(run.wrong)} {run.wrong[:5]}", not run.wrong),
        "5xx or no answer": (str(failed), failed == 0),
        "answers": (str(dict(sorted(run.statuses.items()))), True),
        "memory, MiB": (
            f"{memory[0] / 2**20:.0f} to {memory[1] / 2**20:.0f}",
            memory[1] <= memory[0] * (1 + GROWTH),
        ),
        "descriptors": (f"{files[0]} to {files[1]}", files[1] <= files[0] + DESCRIPTORS),
        "threads": (f"{threads[0]} to {threads[1]}", threads[1] <= threads[0] + 2),
        "p99, ms": (f"{p99[0] * 1000:.0f} to {p99[1] * 1000:.0f}", not timing or drift <= DRIFT),
    }


def main(minutes: float = 30, seed: int = 0, *, timing: bool = True) -> None:
    """Say what was found, and fail where something does not hold."""
    with process(REPOSITORY / "models") as running:
        run, rate = asyncio.run(soak(running.url, running.popen.pid, minutes * 60, seed))
    typer.echo(f"\n{minutes:g} minutes at {rate:.0f} requests a second:")
    found = verdicts(run, timing=timing)
    for name, (text, holds) in found.items():
        typer.echo(f"{'ok ' if holds else 'BAD'} {name}: {text}")
    if not all(holds for _, holds in found.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
