"""Several processes on one port: uvicorn starts them, watches them and restarts them."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.bundles import write_bundle
from tests.integration.live import Process, alive, command_line, eventually, problem, process
from tests.integration.test_reload import HEADERS, write_keys

WORKERS = 2
# What other libraries warn of is no JSON.
LOG_ALONE = ("sh", "-c", 'exec "$@" 2> /dev/null', "sh")


@contextmanager
def two_workers(models: Path, **environment: str) -> Iterator[Process]:
    with process(models, *LOG_ALONE, workers=WORKERS, **environment) as service:
        yield service


def metrics(service: Process) -> list[str]:
    return service.get("/metrics").text.splitlines()


def workers_of(service: Process) -> set[int]:
    return {event["pid"] for event in service.events("ready") if alive(event["pid"])}


def test_what_is_in_work_is_answered_before_the_end_and_no_worker_is_left(
    tmp_path: Path, radiograph: bytes
) -> None:
    write_bundle(tmp_path, ballast=400)
    with two_workers(tmp_path) as service, ThreadPoolExecutor(4) as clients:
        workers = workers_of(service)
        requests = [clients.submit(service.post, content=radiograph) for _ in range(4)]
        # Each request has a connection of its own; what is open is answered by whoever has it.
        eventually(lambda: service.get("/health").json()["in_flight"] > 0)
        service.popen.send_signal(signal.SIGTERM)
        answers = [request.result() for request in requests]
        exit_code = service.popen.wait(timeout=60)

    assert len(workers) == WORKERS
    assert {answer.status_code for answer in answers} == {200}
    assert exit_code == 0
    assert not any(map(alive, workers))


def test_a_worker_that_dies_is_replaced_and_none_outlives_the_parent(
    tmp_path: Path, radiograph: bytes
) -> None:
    write_bundle(tmp_path)
    counted = 'pneumoscope_requests_total{route="/predict",status="200"} 4.0'

    with two_workers(tmp_path, PNEUMO_QUEUE_LIMIT="32") as service:
        for _ in range(4):
            service.post(content=radiograph)
        eventually(lambda: counted in metrics(service))
        first, second = workers_of(service)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(service.events("ready")) == WORKERS + 1)
        replaced = workers_of(service)
        after = metrics(service)
        service.popen.kill()
        eventually(lambda: not any(map(alive, replaced)))

    assert first not in replaced
    assert second in replaced
    assert len(replaced) == WORKERS
    # Whoever is gone is in the counters alone.
    assert counted in after
    assert "pneumoscope_queue_limit 64.0" in after


def test_a_hang_up_signal_restarts_each_with_the_models_that_are_there_now(
    tmp_path: Path,
) -> None:
    models = tmp_path / "models"
    write_bundle(models)
    write_bundle(tmp_path / "shelf", "tiny", 2)

    with two_workers(models, PNEUMO_API_KEYS_FILE=str(write_keys(models))) as service:
        before = workers_of(service)
        refused = service.post("/models/reload", headers=HEADERS)
        shutil.copytree(tmp_path / "shelf" / "tiny" / "2", models / "tiny" / "2")
        service.popen.send_signal(signal.SIGHUP)
        statuses = []
        deadline = time.monotonic() + 120
        while any(map(alive, before)):
            assert time.monotonic() < deadline, "the workers were not replaced"
            statuses.append(service.get("/health/live").status_code)
        served = service.get("/models", headers=HEADERS).json()["models"]

    assert problem(refused) == (409, "reload-refused")
    assert set(statuses) <= {200}
    assert [model["version"] for model in served] == [1, 2]


def test_workers_that_cannot_start_stop_the_service(tmp_path: Path) -> None:
    command = command_line("run", "--port", "0", "--models-dir", str(tmp_path))
    environment = {**os.environ, "PNEUMO_WORKERS": "2", "PNEUMO_PROVIDER": "cpu"}

    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert ended.returncode == 1
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    reasons = {line["reason"] for line in said if line["event"] == "cannot start"}
    assert reasons == {"There is no model bundle in PNEUMO_MODELS_DIR."}
    assert "Traceback" not in ended.stderr


def test_a_port_of_several_workers_exposes_what_all_have_answered(
    models: Path, radiograph: bytes
) -> None:
    with process(models, workers=2, PNEUMO_QUEUE_LIMIT="32") as service:
        # Each has a connection of its own, which either worker may take.
        for _ in range(6):
            service.post(content=radiograph)
        counted = 'pneumoscope_requests_total{route="/predict",status="200"} 6.0'
        eventually(lambda: counted in metrics(service))
        eventually(lambda: "pneumoscope_queue_depth 0.0" in metrics(service))
        lines = metrics(service)

    assert "pneumoscope_queue_limit 64.0" in lines
    assert "pneumoscope_images_in_flight 0.0" in lines
    assert sum(line.startswith("pneumoscope_model_info{") for line in lines) == 3
    assert sum(line.startswith("pneumoscope_build_info{") for line in lines) == 1
    assert not any("pid=" in line or "_created" in line for line in lines)
    # No library has a word to say about it either.
    assert all(line.startswith("{") for line in service.log)
