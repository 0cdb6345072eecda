"""Starts load generators in processes of their own, and gathers what they saw."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import samples
from bench.errors import LoadFailed
from bench.load import Load
from bench.samples import Samples

REPOSITORY = Path(__file__).resolve().parents[1]
Runner = Callable[[Load, Sequence[bytes]], Samples]


@dataclass(frozen=True, slots=True)
class _Process:
    folder: TemporaryDirectory[str]
    process: subprocess.Popen[str]

    @property
    def samples(self) -> Path:
        return Path(self.folder.name) / "samples.npz"


class Running:
    """A load that is under way."""

    def __init__(self, processes: Sequence[_Process]) -> None:
        """Take the started generators."""
        self._processes = processes

    def wait(self, longest_s: float) -> Samples:
        """Wait for the end of the load.

        Raises:
            LoadFailed: A generator failed, or did not end in time; then it is stopped.
        """
        try:
            return samples.merge([_result(process, longest_s) for process in self._processes])
        finally:
            for process in self._processes:
                process.process.kill()
                process.process.wait()
                process.folder.cleanup()


def start(load: Load, requests: Sequence[bytes], processes: int = 1) -> Running:
    """Start a load.

    Args:
        load: What to send; its connections, rate and number of requests are shared out.
        requests: Whole HTTP requests, at least one.
        processes: How many generators there are, at most as many as connections.
    """
    return Running([_start(part, requests) for part in split(load, processes)])


def run(load: Load, requests: Sequence[bytes], processes: int = 1) -> Samples:
    """Run a load to its end; see ``start``.

    Raises:
        LoadFailed: A generator failed.
    """
    return start(load, requests, processes).wait(load.warmup_s + load.seconds + 2 * load.timeout_s)


def split(load: Load, processes: int) -> list[Load]:
    """Share a load out among generators; the first ones get what does not divide."""
    parts = min(processes, load.connections)
    rate_per_s = None if load.rate_per_s is None else load.rate_per_s / parts
    counts = _shares(load.connections, parts)
    limits = [None] * parts if load.max_requests is None else _shares(load.max_requests, parts)
    return [
        load.model_copy(
            update={"connections": count, "rate_per_s": rate_per_s, "max_requests": limit}
        )
        for count, limit in zip(counts, limits, strict=True)
    ]


def last_line(text: str) -> str:
    """The line of a traceback that says what went wrong."""
    return (text.strip().splitlines() or [""])[-1]


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]


def _start(load: Load, requests: Sequence[bytes]) -> _Process:
    folder = TemporaryDirectory(prefix="bench-load-")
    root = Path(folder.name)
    (root / "requests").mkdir()
    for number, request in enumerate(requests):
        (root / "requests" / f"{number:05d}").write_bytes(request)
    (root / "load.json").write_text(load.model_dump_json())
    command = (sys.executable, "-m", "bench.load", root / "load.json", root / "samples.npz")
    process = subprocess.Popen(  # noqa: S603 - this project's own module
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    return _Process(folder, process)


def _result(process: _Process, longest_s: float) -> Samples:
    try:
        _, errors = process.process.communicate(timeout=longest_s)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed("A load generator did not end in time.") from error
    if process.process.returncode:
        raise LoadFailed(f"A load generator failed: {last_line(errors)}")
    return samples.load(process.samples)
