"""Nothing lost and nothing doubled, whatever is killed.

How long it goes on: the environment's ``PNEUMO_GATEWAY_FILMS`` and ``PNEUMO_GATEWAY_KILLS``, which
fall all over the transfer however many films there are.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.gateway import stack
from tests.gateway.cable import Cable
from tests.gateway.drawn import slice_of, write_films
from tests.gateway.stack import (
    Archive,
    Database,
    Gateway,
    Program,
    Service,
    archive,
    database,
    dcmsend,
    eventually,
    free_port,
    gateway,
    service,
    to,
    were_taken,
)

pytestmark = pytest.mark.gateway

FILMS = int(os.environ.get("PNEUMO_GATEWAY_FILMS", "60"))
KILLS = int(os.environ.get("PNEUMO_GATEWAY_KILLS", "4"))
SENDERS = 10
# From one kill to the next, at most; ten films a second are read and more are taken.
PAUSE_S = max(3.0, FILMS / 10 / KILLS)
LONG_S = 1800.0
# From the sender to the archive, each of which may be the last thing that a gateway does.
STEPS = (
    "gateway.intake._keep",
    "gateway.store.Store._apply",
    "gateway.store.Store.accept",
    "gateway.service.Services.predict",
    "gateway.work.write_durably",
    "gateway.store.Store.finish_job",
    "gateway.destinations.DimseSender.send",
    "gateway.store.Store.finish_deliveries",
)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Database]:
    with database(tmp_path / "postgres.log") as running:
        yield running


def send_until_acknowledged(port: int, files: list[Path], deadline: float) -> None:
    """As a modality does: what was not acknowledged is sent again."""
    while not were_taken(dcmsend(port, *files), files):
        assert time.monotonic() < deadline, "it was never acknowledged"
        time.sleep(0.5)


def start_again(program: Program, deadline: float) -> None:
    """Start until it stays; a database first waits until what is left of it has ended."""
    program.start(wait=False)
    while not program.ready():
        assert time.monotonic() < deadline, program.log.read_text()[-2000:]
        if program.popen is not None and program.popen.poll() is not None:
            program.start(wait=False)
        time.sleep(0.1)


def studies(files: list[Path]) -> set[str]:
    return {str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID) for file in files}


def reports_by_study(found: Archive) -> dict[str, int]:
    """How many reports each study has, by its UID; the archive has studies with reports alone."""
    return {
        str(study["MainDicomTags"]["StudyInstanceUID"]): len(study["Series"])
        for study in httpx.get(f"{found.url}/studies?expand", timeout=60, trust_env=False).json()
    }


def test_every_acknowledged_film_has_one_report_whatever_is_killed(
    postgres: Database, tmp_path: Path
) -> None:
    chance = random.Random(os.environ.get("PNEUMO_GATEWAY_SEED", "1"))  # noqa: S311
    films = write_films(tmp_path / "films", FILMS)
    series = tmp_path / "series"
    series.mkdir()
    for number in range(12):
        (series / f"{number}.dcm").write_bytes(slice_of(7, number))
    a_service, an_archive = service(tmp_path), archive(tmp_path / "archive")
    cable = Cable(an_archive.dicom_port)
    pacs = {**to(an_archive), "port": cable.port}
    # Longer than an interruption: a series in two parts has, rightly, two versions of its report.
    rules = [stack.FILMS, {**stack.SERIES, "quiet_s": 15}]
    a_gateway = gateway(
        tmp_path / "gw",
        [a_service.url],
        [pacs],
        rules=rules,
        database_url=postgres.url,
        max_backoff_s=5,
    )
    programs: list[Program] = [a_gateway, a_service, an_archive, postgres]
    deadline = time.monotonic() + LONG_S
    with closing(cable), a_gateway, a_service, an_archive:
        batches = [films[n::SENDERS] for n in range(SENDERS)] + [sorted(series.iterdir())]
        with ThreadPoolExecutor(SENDERS + 1) as pool:
            sent = [
                pool.submit(send_until_acknowledged, a_gateway.dicom_port, batch, deadline)
                for batch in batches
            ]
            for number in range(KILLS):
                time.sleep(chance.uniform(0.2, PAUSE_S))
                killed = programs[number % len(programs)]
                killed.kill()
                if number == KILLS // 2:
                    cable.cut()
                time.sleep(chance.uniform(0, 1))
                start_again(killed, deadline)
                cable.mend()
            for outcome in sent:
                outcome.result()
        # What was acknowledged before is sent once more, and changes nothing.
        assert a_gateway.send(*films)

        eventually(a_gateway.is_idle, LONG_S)

        counts = a_gateway.counts()
        assert counts["deliveries"] == {"done": FILMS + 1}
        assert counts["instances"] == {"routed": FILMS + 12}
        wanted = studies(films) | studies([series / "0.dcm"])
        assert reports_by_study(an_archive) == dict.fromkeys(wanted, 1)


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step_leaves_one_report(
    running_service: Service, running_archive: Archive, tmp_path: Path, step: str
) -> None:
    [film] = write_films(tmp_path / "films", 1, first=700 + STEPS.index(step))
    program = gateway(tmp_path / "gw", [running_service.url], [to(running_archive)])
    whole = program.command
    program.command = [*whole[:2], "tests.gateway.crashing", step, *whole[3:]]
    with program:
        was_taken = program.send(film)
        assert program.popen is not None
        assert program.popen.wait(stack.PATIENCE_S) == -signal.SIGKILL
        program.command = whole
        program.start()
        # A sender repeats what was not acknowledged.
        assert was_taken or program.send(film)

        eventually(program.is_idle)

        counts = program.counts()
    assert counts == {"instances": {"routed": 1}, "jobs": {"done": 1}, "deliveries": {"done": 1}}
    [study] = studies([film])
    assert len(running_archive.reports(StudyInstanceUID=study)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this process may not mount a disk of its own")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_kept(
    running_service: Service, running_archive: Archive, small_disk: Path, tmp_path: Path
) -> None:
    films = write_films(tmp_path / "films", 40, first=500)
    program = gateway(
        tmp_path / "gw",
        [running_service.url],
        [to(running_archive)],
        state_dir=str(small_disk / "state"),
        min_free_bytes=0,
    )
    with program:
        acknowledged = [film for film in films if program.send(film)]
        refused = len(films) - len(acknowledged)
        free = shutil.disk_usage(small_disk).free
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        assert all(program.send(film) for film in films)

        eventually(program.is_idle)

        assert acknowledged
        assert refused
        assert free < 1 << 20
        assert program.counts()["deliveries"] == {"done": 40}
        for study in studies(films):
            assert len(running_archive.reports(StudyInstanceUID=study)) == 1


def test_of_two_services_the_one_that_is_away_is_left_out(
    running_service: Service, running_archive: Archive, tmp_path: Path
) -> None:
    films = write_films(tmp_path / "films", 4, first=600)
    nobody = f"http://127.0.0.1:{free_port()}"
    program: Gateway = gateway(
        tmp_path / "gw", [nobody, running_service.url], [to(running_archive)]
    )
    with program:
        assert program.send(*films)

        eventually(program.is_idle)

        # None of them had to wait for another try.
        assert [job["attempts"] for job in program.rows("jobs", "done")] == [0] * 4
