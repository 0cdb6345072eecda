"""Measures the gateway with its real neighbours: ``python -m tests.gateway.measure [FILMS]``.

Wall times mean something on a machine that does nothing else; CPU times nearly always.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pydicom

from tests.gateway.drawn import film, write_films
from tests.gateway.stack import Archive, Gateway, Service, archive, eventually, gateway, service, to

SENDERS = 10
MIB = 1 << 20
# As the image sets it: what threads allocate is shared out among few arenas.
ARENAS = {"MALLOC_ARENA_MAX": "2"}


@contextmanager
def running(program: Gateway) -> Iterator[Gateway]:
    program.environment.update(ARENAS)
    program.start()
    try:
        yield program
    finally:
        program.kill()


def send_all(program: Gateway, files: list[Path]) -> float:
    """Send from ten associations at once; the seconds until all were acknowledged."""
    started = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(lambda n: program.send(*files[n::SENDERS]), range(SENDERS)))
    assert all(sent)
    return time.perf_counter() - started


def acceptance(folder: Path, films: list[Path]) -> str:
    with running(gateway(folder, ["http://127.0.0.1:9"], [], rules=[])) as program:
        before = program.cpu_s()
        seconds = send_all(program, films)
        cpu_ms = (program.cpu_s() - before) / len(films) * 1000
        peak = program.resident_bytes("VmHWM") / MIB
    return (
        f"acceptance: {len(films) / seconds:.0f} instances/s of {films[0].stat().st_size // 1000} "
        f"KB, {cpu_ms:.1f} ms of CPU each, peak memory {peak:.0f} MiB"
    )


def end_to_end(folder: Path, films: list[Path], a_service: Service, an_archive: Archive) -> str:
    with running(gateway(folder, [a_service.url], [to(an_archive)])) as program:
        parts = {"gateway": program, "service": a_service, "archive": an_archive}
        before = {name: part.cpu_s() for name, part in parts.items()}
        started = time.perf_counter()
        send_all(program, films)
        eventually(program.is_idle, 3600)
        seconds = time.perf_counter() - started
        each = {
            name: (part.cpu_s() - before[name]) / len(films) * 1000 for name, part in parts.items()
        }
        latencies = [one_film(program, an_archive, 900_000 + number) for number in range(7)]
        peak = program.resident_bytes("VmHWM") / MIB
    cpu = ", ".join(f"{name} {ms:.1f}" for name, ms in each.items())
    return (
        f"end to end: {len(films) / seconds:.1f} reports/s; ms of CPU each: {cpu}, "
        f"together {sum(each.values()):.0f}; one film, C-STORE to report in the archive: median "
        f"{statistics.median(latencies):.2f} s; peak memory {peak:.0f} MiB"
    )


def one_film(program: Gateway, an_archive: Archive, number: int) -> float:
    image = film(number)
    file = program.folder / "one.dcm"
    file.write_bytes(image)
    study = str(pydicom.dcmread(io.BytesIO(image)).StudyInstanceUID)
    started = time.perf_counter()
    assert program.send(file)
    eventually(lambda: an_archive.reports(StudyInstanceUID=study))
    return time.perf_counter() - started


def memory(folder: Path, films: list[Path], repeats: int) -> str:
    """Big instances first, then the same small ones again and again: what is kept must not grow."""
    large = folder / "large"
    large.mkdir(parents=True)
    files = [large / f"{number}.dcm" for number in range(SENDERS)]
    drawn = film(800_000, (5000, 6000))
    for number, file in enumerate(files):
        file.write_bytes(drawn.replace(b".800000", b".80000%d" % number))
    with running(gateway(folder, ["http://127.0.0.1:9"], [], rules=[])) as program:
        at_rest = program.resident_bytes() / MIB
        send_all(program, files)
        after_large = program.resident_bytes("VmHWM") / MIB
        sizes = []
        for _ in range(repeats):
            send_all(program, films)
            sizes.append(program.resident_bytes() / MIB)
    return (
        f"memory: {at_rest:.0f} MiB at rest, {after_large:.0f} at most with {SENDERS} instances of "
        f"30 MB at once; after each further {len(films)}: {[round(size) for size in sizes]}"
    )


def main(count: int) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        films = write_films(folder / "films", count)
        print(acceptance(folder / "acceptance", films), flush=True)  # noqa: T201
        print(memory(folder / "memory", films, 4), flush=True)  # noqa: T201
        a_service, an_archive = service(folder), archive(folder / "archive")
        try:
            a_service.start()
            an_archive.start()
            print(end_to_end(folder / "all", films, a_service, an_archive), flush=True)  # noqa: T201
        finally:
            a_service.kill()
            an_archive.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
