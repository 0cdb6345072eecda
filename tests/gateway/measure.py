"""Measures the gateway with its real neighbours: ``make gateway-bars``, which prints a table.

Wall times mean something on a machine that does nothing else; CPU times nearly always. The load of
the machine is printed beside them.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pydicom

from tests.gateway.drawn import film, write_films
from tests.gateway.stack import (
    FILMS,
    Archive,
    Gateway,
    Service,
    archive,
    eventually,
    gateway,
    service,
    to,
)

SENDERS = 10
MIB = 1 << 20
NOBODY = "http://127.0.0.1:9"
# As the image sets it: what threads allocate is shared out among few arenas.
ARENAS = {"MALLOC_ARENA_MAX": "2"}


def lean(program: Gateway) -> Gateway:
    program.environment.update(ARENAS)
    return program


def say(what: str, measured: str, bar: str) -> None:
    load = os.getloadavg()[0]
    print(f"| {what} | {measured} | {bar} | {load:.1f} |", flush=True)  # noqa: T201


def send_all(program: Gateway, files: list[Path]) -> float:
    """Send from ten associations at once; the seconds until all were acknowledged."""
    started = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(lambda n: program.send(*files[n::SENDERS]), range(SENDERS)))
    assert all(sent)
    return time.perf_counter() - started


def acceptance(folder: Path, films: list[Path]) -> None:
    with lean(gateway(folder, [NOBODY], [], rules=[])) as program:
        before = program.cpu_s()
        seconds = send_all(program, films)
        cpu_ms = (program.cpu_s() - before) / len(films) * 1000
    size = f"{films[0].stat().st_size // 1000} KB"
    rate = f"{len(films) / seconds:.0f}/s, {cpu_ms:.1f} ms of CPU each"
    say(f"acceptance of {len(films)} instances of {size}, 10 associations", rate, "≥ 50/s")


def memory(folder: Path, films: list[Path], instances: int) -> None:
    """Big instances first, then small ones for long: what is kept must not grow."""
    large = folder / "large"
    large.mkdir(parents=True)
    files = [large / f"{number}.dcm" for number in range(SENDERS)]
    drawn = film(800_000, (5000, 6000))
    for number, file in enumerate(files):
        file.write_bytes(drawn.replace(b".800000", b".80000%d" % number))
    with lean(gateway(folder, [NOBODY], [], rules=[])) as program:
        at_rest = program.resident_bytes() / 1e6
        send_all(program, files)
        peak = program.resident_bytes("VmHWM") / 1e6
        sizes = []
        for first in range(0, instances, len(films)):
            rename(films, first)
            send_all(program, films)
            sizes.append(program.resident_bytes() / 1e6)
        highest = program.resident_bytes("VmHWM") / 1e6
    say(
        "memory at rest, then at most with ten of 30 MB at once",
        f"{at_rest:.0f}, {peak:.0f} MB",
        "≤ 200 MB",
    )
    quarters = [round(sizes[len(sizes) * n // 4 - 1]) for n in (1, 2, 3, 4)]
    told = f"{' → '.join(map(str, quarters))} MB, at most {highest:.0f}"
    say(f"memory after each quarter of {len(films) * len(sizes)} further instances", told, "flat")


def rename(films: list[Path], round_: int) -> None:
    """Give each film another identity, of the same length."""
    for file in films:
        image = file.read_bytes()
        uid = str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
        number = int(uid.rpartition(".")[2]) % 100_000
        new = (
            f"{uid.rpartition('.')[0]}.{20_000_000 + (round_ // len(films) + 1) * 100_000 + number}"
        )
        file.write_bytes(image.replace(uid.encode(), new.encode()))


def end_to_end(folder: Path, films: list[Path], a_service: Service, an_archive: Archive) -> None:
    with lean(gateway(folder, [a_service.url], [to(an_archive)])) as program:
        latencies = [one_film(program, an_archive, 900_000 + number) for number in range(7)]
        parts = {"gateway": program, "service": a_service, "archive": an_archive}
        before = {name: part.cpu_s() for name, part in parts.items()}
        started = time.perf_counter()
        send_all(program, films)
        # To ask is work for the gateway too.
        eventually(program.is_idle, 3600, every_s=0.5)
        seconds = time.perf_counter() - started
        each = {
            name: (part.cpu_s() - before[name]) / len(films) * 1000 for name, part in parts.items()
        }
        peak = program.resident_bytes("VmHWM") / 1e6
    # Every film is a study of its own.
    reports, studies = an_archive.reports(), an_archive.find("Study", ModalitiesInStudy="SR")
    expected = len(films) + len(latencies)
    assert len(reports) == len(studies) == expected, (len(reports), len(studies), expected)
    say(
        "reports in the archive, studies with a report",
        f"{len(reports)}, {len(studies)}",
        f"{expected}",
    )
    say(
        "one film, C-STORE to the report in the archive, median of 7",
        f"{statistics.median(latencies):.2f} s",
        "≤ 1 s",
    )
    cpu = ", ".join(f"{name} {ms:.0f}" for name, ms in each.items())
    rate = f"{len(films) / seconds:.1f}/s; ms of CPU each: {cpu}, together {sum(each.values()):.0f}"
    say(f"end to end, {len(films)} films", rate, "≥ 10/s")
    say("memory, end to end", f"{peak:.0f} MB", "≤ 200 MB")


def pictures(folder: Path, films: list[Path], a_service: Service, an_archive: Archive) -> None:
    rule = {**FILMS, "secondary_capture": True, "activation_map": True}
    with lean(gateway(folder, [a_service.url], [to(an_archive)], rules=[rule])) as program:
        send_all(program, films)
        eventually(program.is_idle, 3600, every_s=0.5)
        counts, peak = program.counts(), program.resident_bytes("VmHWM") / 1e6
    assert counts["deliveries"] == {"done": len(films)}, counts
    made = sum(1 for _ in (folder / "state" / "results").glob("*/*.dcm"))
    assert made == 3 * len(films)
    what = f"memory, {len(films)} films with a picture and a map each"
    say(what, f"{peak:.0f} MB", "≤ 200 MB")


def one_film(program: Gateway, an_archive: Archive, number: int) -> float:
    image = film(number)
    file = program.folder / "one.dcm"
    file.write_bytes(image)
    study = str(pydicom.dcmread(io.BytesIO(image)).StudyInstanceUID)
    started = time.perf_counter()
    assert program.send(file)
    eventually(lambda: an_archive.reports(StudyInstanceUID=study))
    return time.perf_counter() - started


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.gateway.measure")
    asked.add_argument("--films", type=int, default=500, help="for each rate")
    asked.add_argument("--instances", type=int, default=20_000, help="for the memory's growth")
    count = asked.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores\n")  # noqa: T201
    print("| What | Measured | Bar | Load |\n|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        films = write_films(folder / "films", count.films)
        a_service, an_archive = service(folder), archive(folder / "archive")
        acceptance(folder / "acceptance", films)
        with a_service, an_archive:
            end_to_end(folder / "all", films, a_service, an_archive)
            pictures(folder / "pictures", films[:200], a_service, an_archive)
        memory(folder / "memory", films, count.instances)


if __name__ == "__main__":
    main()
