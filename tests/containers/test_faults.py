"""Faults in a real container under load: what clients see, and how long it takes to recover."""

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from pydicom.uid import JPEG2000Lossless

from tests.containers.compose import ALL, CPU, Compose, docker, project
from tests.containers.test_operations import JPEG, RADIOGRAPH
from tests.gateway.stack import PATIENCE_S, eventually
from tests.synthetic import as_dicom, synthetic_radiograph

pytestmark = [pytest.mark.containers, pytest.mark.slow]

CLIENTS = 3
NOT_PLAIN = as_dicom(synthetic_radiograph(600, 800), TransferSyntaxUID=JPEG2000Lossless)
LARGE = as_dicom(synthetic_radiograph(5000, 5000), TransferSyntaxUID=JPEG2000Lossless)
# What a client may see of a process that was killed: no answer at all, or a refusal that says so.
OK, BROKEN = 200, 0
# Finds the processes of the service by their command line; there is no ps in the image.
PIDS = """
import os, pathlib, sys
for proc in pathlib.Path("/proc").glob("[0-9]*"):
    words = (proc / "cmdline").read_bytes().split(b"\\0")
    if int(proc.name) != os.getpid() and any(sys.argv[1].encode() in word for word in words):
        print(proc.name)
"""
FULL = "/tmp/full"  # noqa: S108 - of the container


@dataclass
class Answers:
    """What clients have seen, by time."""

    seen: list[tuple[float, int]] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)

    def statuses(self) -> Counter[int]:
        return Counter(status for _, status in self.seen)

    def recovery_s(self, since: float) -> float:
        """Until the first answer after the last failure."""
        failed = [at for at, status in self.seen if at >= since and status != 200]
        if not failed:
            return 0.0
        good = [at for at, status in self.seen if status == 200 and at > max(failed)]
        return min(good) - since


@contextmanager
def load(compose: Compose, body: bytes = RADIOGRAPH) -> Iterator[Answers]:
    """Clients that ask again and again, each comparing what it gets with the first answer."""
    expected = ask(compose, body)
    answers, stop = Answers(), threading.Event()

    def clients() -> None:
        while not stop.is_set():
            status, got = tried(compose, body)
            answers.seen.append((time.monotonic(), status))
            if status != OK:
                time.sleep(0.05)
            elif got != expected:
                answers.wrong.append(got)

    threads = [threading.Thread(target=clients) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not answers.wrong


def tried(compose: Compose, body: bytes) -> tuple[int, object]:
    """The status of an answer, and what it says; BROKEN where there was none."""
    try:
        return OK, ask(compose, body)
    except httpx.HTTPStatusError as error:
        return error.response.status_code, None
    except httpx.TransportError:
        return BROKEN, None


def ask(compose: Compose, body: bytes) -> object:
    answer = httpx.post(f"{compose.url}/predict", content=body, headers=JPEG, timeout=60)
    answer.raise_for_status()
    [result] = answer.json()["results"]
    return result["decision"], [each["probability"] for each in result["findings"]]


def pids(compose: Compose, word: str) -> set[int]:
    """The processes of the service with a word in their command lines."""
    found = compose("exec", "pneumoscope", "python", "-c", PIDS, word, check=False).stdout
    return {int(pid) for pid in found.split()}


def send(compose: Compose, signal: str, pid: int) -> None:
    compose("exec", "pneumoscope", "sh", "-c", f"kill -{signal} {pid}")


@pytest.fixture(scope="module")
def one(cpu_image: str) -> Iterator[Compose]:
    with project(*CPU) as compose:
        compose("up", "--detach", "--wait")
        yield compose


@pytest.fixture(scope="module")
def two(cpu_image: str) -> Iterator[Compose]:
    with project(*CPU, PNEUMO_WORKERS="2", PNEUMO_DECODERS="1", PNEUMO_THREADS="1") as compose:
        compose("up", "--detach", "--wait")
        yield compose


def recovery(answers: Answers, since: float) -> str:
    return f"{answers.recovery_s(since):.1f} s, answers {dict(answers.statuses())}"


def test_a_decoder_that_is_killed_costs_the_file_in_its_hands(
    one: Compose, told: Callable[[str], None]
) -> None:
    with load(one, NOT_PLAIN) as answers:
        eventually(lambda: answers.statuses()[200] > 5)
        at = time.monotonic()
        for pid in pids(one, "decode_worker"):
            send(one, "KILL", pid)
        before = answers.statuses()[200]
        eventually(lambda: answers.statuses()[200] > before + 10)
    told(f"decoders killed: {recovery(answers, at)}")
    others = answers.statuses() - Counter({200: len(answers.seen)})
    assert set(others) <= {422, 413, 500, 503}
    assert sum(others.values()) <= CLIENTS


def test_a_service_that_is_killed_is_started_again(
    one: Compose, told: Callable[[str], None]
) -> None:
    with load(one) as answers:
        eventually(lambda: answers.statuses()[200] > 20)
        at = time.monotonic()
        [pid] = pids(one, "service") - pids(one, "decode_worker") - {1}
        send(one, "KILL", pid)
        eventually(lambda: answers.statuses()[BROKEN] > 0)
        before = answers.statuses()[200]
        eventually(lambda: answers.statuses()[200] > before + 20)
    told(f"service killed: {recovery(answers, at)}")
    assert set(answers.statuses()) <= {200, BROKEN, 503}


def test_a_worker_that_is_killed_is_replaced_while_the_other_answers(
    two: Compose, told: Callable[[str], None]
) -> None:
    with load(two) as answers:
        eventually(lambda: answers.statuses()[200] > 20)
        workers = pids(two, "multiprocessing.spawn")
        assert len(workers) == 2
        at = time.monotonic()
        send(two, "KILL", min(workers))
        eventually(lambda: len(pids(two, "multiprocessing.spawn") - {min(workers)}) == 2)
        before = answers.statuses()[200]
        eventually(lambda: answers.statuses()[200] > before + 20)
    told(f"worker killed: {recovery(answers, at)}")
    assert set(answers.statuses()) <= {200, BROKEN}
    assert answers.statuses()[BROKEN] <= CLIENTS


def test_a_worker_that_stands_still_is_noticed_and_replaced(
    two: Compose, told: Callable[[str], None]
) -> None:
    workers = pids(two, "multiprocessing.spawn")
    assert len(workers) == 2
    at = time.monotonic()
    send(two, "STOP", max(workers))
    eventually(lambda: len(pids(two, "multiprocessing.spawn") - {max(workers)}) == 2)
    told(f"worker stopped: replaced in {time.monotonic() - at:.1f} s")
    with load(two) as answers:
        eventually(lambda: answers.statuses()[200] > 20)
    assert set(answers.statuses()) == {200}


def test_a_full_disk_stops_nothing(one: Compose) -> None:
    fill = f"dd if=/dev/zero of={FULL} bs=1M count=1000 2>/dev/null; df /tmp | tail -1"
    with load(one) as answers:
        said = one("exec", "pneumoscope", "sh", "-c", fill).stdout
        assert "100%" in said
        before = answers.statuses()[200]
        eventually(lambda: answers.statuses()[200] > before + 20)
        assert ask(one, NOT_PLAIN)
        one("exec", "pneumoscope", "rm", FULL)
    assert set(answers.statuses()) == {200}


def test_a_stop_under_load_answers_what_it_has_accepted(
    one: Compose, told: Callable[[str], None]
) -> None:
    with load(one) as answers:
        eventually(lambda: answers.statuses()[200] > 20)
        at = time.monotonic()
        stopped = subprocess.run(
            ["docker", "stop", "--time", "40", str(one.container()["Id"])],
            capture_output=True,
            text=True,
            check=False,
        )
        told(f"stopped under load in {time.monotonic() - at:.1f} s")
        assert stopped.returncode == 0
        assert one.container()["State"]["ExitCode"] == 0  # type: ignore[index]
    # A connection that the kernel had taken and the service had not is reset, as the docs say.
    assert set(answers.statuses()) <= {200, 503, BROKEN}
    docker("start", str(one.container()["Id"]))


def test_a_container_without_memory_for_a_file_refuses_it(cpu_image: str) -> None:
    with project(*CPU, PNEUMO_MEMORY="420m") as compose:
        compose("up", "--detach", "--wait")
        assert tried(compose, LARGE)[0] == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        assert memory_kills(compose) == 0


def test_where_memory_runs_out_all_the_same_the_decoder_goes_and_the_service_stays(
    cpu_image: str, told: Callable[[str], None]
) -> None:
    # An operator has promised the decoders more than there is.
    promised = {"PNEUMO_MEMORY": "400m", "PNEUMO_DECODE_MEMORY_BYTES": "1000000000"}
    with project(*CPU, **promised) as compose:
        compose("up", "--detach", "--wait")
        with load(compose) as answers:
            eventually(lambda: answers.statuses()[200] > 20)
            at = time.monotonic()
            eventually(lambda: tried(compose, LARGE)[0] != OK and memory_kills(compose) > 0)
            killed = time.monotonic()
            before = answers.statuses()[200]
            eventually(lambda: answers.statuses()[200] > before + 20)
            while tried(compose, NOT_PLAIN)[0] != OK:
                assert time.monotonic() < killed + PATIENCE_S
        told(
            f"memory ran out: decodes again {time.monotonic() - killed:.1f} s after the kill, "
            f"{recovery(answers, at)}"
        )
        assert set(answers.statuses()) == {OK}
        assert compose.container()["RestartCount"] == 0


def memory_kills(compose: Compose) -> int:
    """How many processes of the container the kernel has killed for want of memory."""
    # The second is that of version 1 of cgroups.
    files = "/sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control"
    told = compose("exec", "pneumoscope", "sh", "-c", f"cat {files} 2>/dev/null", check=False)
    return int(dict(line.split() for line in told.stdout.splitlines())["oom_kill"])


def test_without_names_nothing_is_answered_that_is_not_in_the_trail(
    cpu_image: str, secrets: dict[str, str], told: Callable[[str], None]
) -> None:
    url = "postgresql+psycopg://pneumoscope@database/pneumoscope"
    with project(*ALL, PNEUMO_AUDIT_URL=url, **secrets) as compose:
        for name in ("database", "pneumoscope"):
            compose("--profile", "audit", "up", "--detach", "--build", "--wait", name)
        found = compose("--profile", "audit", "ps", "--quiet", "pneumoscope").stdout.strip()
        [resolver] = docker("inspect", "--format", "{{.ResolvConfPath}}", found).split()
        names = Path(resolver).read_text()
        with load(compose) as answers:
            eventually(lambda: answers.statuses()[OK] > 20)
            Path(resolver).write_text("nameserver 192.0.2.1\n")
            # What is connected needs no name; a database that comes back does.
            compose("--profile", "audit", "restart", "database")
            eventually(lambda: answers.statuses()[503] > 5)
            assert httpx.get(f"{compose.url}/health/live", timeout=1).is_success
            Path(resolver).write_text(names)
            at = time.monotonic()
            before = answers.statuses()[OK]
            eventually(lambda: answers.statuses()[OK] > before + 20)
        told(f"names resolved again: {recovery(answers, at)}")
        assert set(answers.statuses()) == {OK, 503}
        psql = ["psql", "--host=/tmp", "--dbname=pneumoscope", "--tuples-only", "--command"]
        query = "SELECT count(*) FROM pneumoscope_audit WHERE answer_id <> ''"
        counted = compose("--profile", "audit", "exec", "database", *psql, query).stdout
        assert int(counted) >= answers.statuses()[OK]
        verified = compose("exec", "pneumoscope", "python", "-m", "service", "audit", "verify")
        assert verified.stdout.strip() == "The audit trail is whole."
