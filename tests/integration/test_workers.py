"""Several processes on one port: they answer, stop together, and are started again."""

import hashlib
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from service.errors import StartError
from service.settings import Settings
from service.workers import CANNOT_START, start
from tests.bundles import write_bundle
from tests.integration.live import Process, alive, eventually, problem, process

WORKERS = 2
LOG_ALONE = ("sh", "-c", 'exec "$@" 2> /dev/null', "sh")
ADMIN = "admin-key-0123456789"
HEADERS = {"Authorization": f"Bearer {ADMIN}"}


@contextmanager
def two_workers(models: Path, *arguments: str, **environment: str) -> Iterator[Process]:
    environment |= {"PNEUMO_PROVIDER": "cpu"}
    with process(models, *arguments, workers=WORKERS, **environment) as service:
        eventually(lambda: len(service.events("listening")) == 2 * WORKERS)
        yield service


def own_urls(service: Process) -> dict[int, str]:
    """The address of each worker alone, the last one that it has told."""
    return {
        event["worker"]: f"http://127.0.0.1:{event['port']}"
        for event in service.events("listening")
        if event["port"] != service.port
    }


def connect(stack: ExitStack, service: Process, connections: int) -> Counter[int]:
    """Open connections that stay open, ask one thing on each, and count them by worker."""
    before = len(service.events("request"))
    for _ in range(connections):
        connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
        stack.callback(connection.close)
        connection.request("GET", "/models")
        assert connection.getresponse().read()
    eventually(lambda: len(service.events("request")) == before + connections)
    return Counter(event["worker"] for event in service.events("request")[before:])


def refused(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_every_worker_has_in_work_is_answered_before_the_end(
    tmp_path: Path, radiograph: bytes
) -> None:
    write_bundle(tmp_path, ballast=4000)
    get = partial(httpx.get, trust_env=False, timeout=60)
    post = partial(httpx.post, content=radiograph, trust_env=False, timeout=60)

    with two_workers(tmp_path) as service, ThreadPoolExecutor(WORKERS) as clients:
        # Each request has a connection of its own, and the workers take turns.
        statuses = [get(f"{service.url}/models").status_code for _ in range(32)]
        eventually(lambda: len(service.events("request")) == 32)
        answered_by = {event["worker"] for event in service.events("request")}
        urls = own_urls(service)
        requests = [clients.submit(post, f"{url}/predict") for url in urls.values()]
        eventually(
            lambda: all("in_flight 1.0" in get(f"{url}/metrics").text for url in urls.values())
        )
        service.popen.send_signal(signal.SIGTERM)
        answers = [request.result() for request in requests]
        exit_code = service.popen.wait(timeout=60)

    assert statuses == [200] * 32
    assert answered_by == set(urls) == {0, 1}
    assert [answer.status_code for answer in answers] == [200] * WORKERS
    assert exit_code == 0
    assert refused(service.url)


def test_a_worker_that_dies_is_started_again_and_none_outlives_the_parent(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_bundle(models)
    keys = {"admin": {"sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "scopes": ["admin"]}}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    post = partial(httpx.post, headers=HEADERS, trust_env=False, timeout=60)

    with two_workers(models, PNEUMO_API_KEYS_FILE=str(tmp_path / "keys.json")) as service:
        os.kill(service.events("worker started")[1]["pid"], signal.SIGKILL)
        eventually(lambda: len(service.events("listening")) == 3 * WORKERS)
        own = post(f"{own_urls(service)[1]}/models/reload")
        shared = post(f"{service.url}/models/reload")
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("reload")) == 1 + WORKERS)
        service.popen.kill()
        pids = [event["pid"] for event in service.events("worker started")]
        eventually(lambda: not any(map(alive, pids)))

    (ended,) = service.events("worker ended")
    assert (ended["worker"], ended["exit_code"]) == (1, -signal.SIGKILL)
    assert own.status_code == 200
    assert problem(shared) == (409, "reload-refused")
    assert refused(service.url)


def test_connections_that_stay_open_are_spread_evenly_and_a_new_worker_gets_its_share(
    tmp_path: Path,
) -> None:
    write_bundle(tmp_path)

    with two_workers(tmp_path) as service, ExitStack() as stack:
        at_first = connect(stack, service, 8)
        os.kill(service.events("worker started")[1]["pid"], signal.SIGKILL)
        eventually(lambda: len(service.events("listening")) == 3 * WORKERS)
        after_a_restart = connect(stack, service, 4)
        at_last = connect(stack, service, 4)

    assert at_first == {0: 4, 1: 4}
    assert after_a_restart == {1: 4}
    assert at_last == {0: 2, 1: 2}


def test_connections_wait_while_no_worker_is_ready(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    with two_workers(tmp_path) as service:
        for event in service.events("worker started"):
            os.kill(event["pid"], signal.SIGKILL)
        eventually(lambda: len(service.events("worker ended")) == WORKERS)
        answer = httpx.get(f"{service.url}/models", trust_env=False, timeout=60)

    assert answer.status_code == 200


def test_a_worker_that_is_still_loading_outlives_a_reload(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    with two_workers(tmp_path) as service:
        os.kill(service.events("worker started")[1]["pid"], signal.SIGKILL)
        eventually(lambda: len(service.events("worker started")) == WORKERS + 1)
        pid = service.events("worker started")[-1]["pid"]
        # When it leaves its parent's group, it is about to load.
        eventually(lambda: os.getpgid(pid) == pid)
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("listening")) == 2 * (WORKERS + 1))

    assert len(service.events("worker started")) == WORKERS + 1
    assert [e["exit_code"] for e in service.events("worker ended")] == [-signal.SIGKILL]


def test_a_worker_whose_models_are_gone_does_not_open_the_port(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_bundle(models)

    with two_workers(models, *LOG_ALONE) as service:
        listening = service.events("listening")
        models.rename(tmp_path / "gone")
        os.kill(service.events("worker started")[1]["pid"], signal.SIGKILL)
        eventually(lambda: len(service.events("worker ended")) == 3)
        still_listening = service.events("listening")
        (tmp_path / "gone").rename(models)
        eventually(lambda: len(service.events("listening")) >= len(still_listening) + 2)

    codes = [event["exit_code"] for event in service.events("worker ended")]
    assert codes[:3] == [-signal.SIGKILL, CANNOT_START, CANNOT_START]
    assert still_listening == listening


def test_workers_that_cannot_start_stop_the_service(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(workers=2, provider="cpu", port=0, models_dir=tmp_path)

    with pytest.raises(SystemExit, match=r"^1$"):
        start(settings)

    said = capfd.readouterr().err
    assert "pneumo-serve: There is no model bundle in PNEUMO_MODELS_DIR." in said
    assert "Traceback" not in said


def test_a_port_that_another_has_is_not_shared() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = Settings(workers=2, provider="cpu", port=other.getsockname()[1])

        with pytest.raises(StartError, match=r"Cannot listen on port .*: Address already in use"):
            start(settings)
