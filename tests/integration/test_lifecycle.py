"""From the start of the process to its stop, and what can go wrong at either end."""

import resource
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import orjson
import pytest
from numpy.typing import NDArray

from contract.radiograph import Radiograph, decode
from service.app import create_app
from service.domain import CPU
from service.errors import DeviceLost
from service.machine import Provider
from service.repository import ModelRepository
from service.runtime import open_repository
from service.server import Server
from service.session import CUDA
from service.settings import Settings
from tests.bundles import write_bundle, write_fragile_bundle
from tests.integration.live import (
    HEAD,
    JPEG,
    Live,
    connect,
    eventually,
    problem,
    process,
    refuses,
    serving,
    serving_models,
    until_closed,
)
from tests.sessions import REAL_SESSION, FakeSession, PretendsToBeCuda, normal, served
from tests.synthetic import as_png

MIB = 1024 * 1024
CLIENTS = 8


def on_the_cpu(model: bytes, tuning: object, _providers: object, **_: object) -> object:
    """A session that fell back to the CPU."""
    return REAL_SESSION(model, tuning, [CPU])


class LosableGpu(FakeSession):
    """A session on a GPU that can be lost, as a container loses its own, or hang until ``go``."""

    def __init__(self) -> None:
        super().__init__(self._say, "CUDAExecutionProvider")
        self.go.set()
        self.lost = False

    def _say(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.lost:
            raise DeviceLost
        return normal(images)


@pytest.fixture
def gpu() -> LosableGpu:
    return LosableGpu()


@pytest.fixture
def live_on_gpu(gpu: LosableGpu) -> Iterator[Live]:
    with serving(Settings(port=0), lambda _: ModelRepository([served(gpu)])) as running:
        yield running


def test_until_its_models_are_loaded_the_service_lives_but_takes_no_image(
    models: Path, radiograph: bytes
) -> None:
    loaded = threading.Event()

    def load(settings: Settings) -> ModelRepository:
        loaded.wait()
        return open_repository(settings)

    with serving(Settings(models_dir=models, port=0), load, ready=False) as live:
        early = live.predict(radiograph)
        others = [live.client.get(path) for path in ("/health/ready", "/models")]
        protocol = [
            live.client.get("/v2/health/ready"),
            live.client.get("/v2/models/tiny/ready"),
            live.client.get("/v2/models/tiny"),
            live.client.post("/v2/models/tiny/infer"),
        ]
        alive, protocol_alive = live.client.get("/health/live"), live.client.get("/v2/health/live")
        health = live.client.get("/health")
        loaded.set()
        eventually(lambda: live.client.get("/health/ready").status_code == 200)
        later = live.predict(radiograph)

    assert {problem(each) for each in (early, *others)} == {(503, "not-ready")}
    assert {each.status_code for each in protocol} == {503}
    assert all("loading" in each.json()["error"] for each in protocol)
    assert all(int(each.headers["retry-after"]) >= 1 for each in (early, *protocol))
    assert (alive.json(), protocol_alive.json()) == ({"status": "live"}, {"live": True})
    assert (health.status_code, health.json()["status"]) == (503, "loading")
    assert later.status_code == 200


def test_a_stop_finishes_what_was_accepted_and_refuses_what_was_not(
    tmp_path: Path, radiograph: bytes
) -> None:
    write_bundle(tmp_path, ballast=4000)
    head = HEAD % len(radiograph)

    with (
        process(tmp_path) as service,
        connect(service.port) as accepted,
        connect(service.port) as unfinished,
        ExitStack() as open_connections,
    ):
        idle = [HTTPConnection("127.0.0.1", service.port) for _ in range(CLIENTS)]
        for connection in map(open_connections.enter_context, map(closing, idle)):
            connection.request("GET", "/health/live")
            connection.getresponse().read()
        unfinished.sendall(head + radiograph[:100])
        accepted.sendall(head + radiograph)
        eventually(lambda: "in_flight 1.0" in service.get("/metrics").text)
        service.popen.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(service.port))
        for connection in idle:
            connection.request("POST", "/predict", radiograph, JPEG)
        on_their_way = [connection.getresponse() for connection in idle]
        problems = [orjson.loads(answer.read())["type"] for answer in on_their_way]
        unfinished.sendall(radiograph[100:])
        too_late, answered = until_closed(unfinished), until_closed(accepted)
        exit_code = service.popen.wait(timeout=60)

    assert [answer.status for answer in on_their_way] == [503] * CLIENTS
    assert {answer.headers["Connection"] for answer in on_their_way} == {"close"}
    assert problems == ["/problems/shutting-down"] * CLIENTS
    assert too_late.startswith("HTTP/1.1 503 ")
    assert "/problems/shutting-down" in too_late
    assert "retry-after: " in too_late
    assert answered.startswith("HTTP/1.1 200 ")
    assert exit_code == 0


def test_whatever_is_in_work_or_waits_is_answered_before_the_end(radiograph: bytes) -> None:
    session = FakeSession()
    models = ModelRepository([served(session)])

    def answer_when_stopping(live: Live) -> None:
        eventually(lambda: not live.server.servers[0].is_serving())
        session.go.set()

    with ThreadPoolExecutor(CLIENTS + 1) as clients:
        with serving(Settings(port=0, threads=2), lambda _: models) as live:
            url = f"http://127.0.0.1:{live.server.port}/predict"
            post = partial(httpx.post, url, trust_env=False, timeout=60)
            requests = [clients.submit(post, content=radiograph) for _ in range(CLIENTS - 1)]
            requests.append(clients.submit(post, files=[("file", radiograph)] * 3))
            eventually(lambda: live.in_flight() == CLIENTS - 1 + 3)
            # The end of this block stops the service, which only then can end its work.
            clients.submit(answer_when_stopping, live)
        answers = [request.result() for request in requests]

    assert [answer.status_code for answer in answers] == [200] * CLIENTS
    assert [result["status"] for result in answers[-1].json()["results"]] == ["ok"] * 3


def test_a_service_that_stops_says_so_to_its_probes(models: Path, radiograph: bytes) -> None:
    with serving_models(models) as live:
        live.server.runtime.begin_stopping()
        refused = live.predict(radiograph)
        ready = live.client.get("/health/ready")
        health = live.client.get("/health")

    assert problem(refused) == problem(ready) == (503, "shutting-down")
    assert (health.status_code, health.json()["status"]) == (503, "stopping")
    assert health.headers["connection"] == "close"


def test_what_nobody_foresaw_stops_the_start_too() -> None:
    def fails(_settings: Settings) -> ModelRepository:
        raise MemoryError("no room")

    server = Server(create_app(Settings(port=0), fails))
    server.run()

    assert server.runtime.status == "failed"
    assert str(server.runtime.failure) == "MemoryError: no room"


def test_a_lost_gpu_fails_its_probes_and_whole_requests_until_it_is_back(
    gpu: LosableGpu, live_on_gpu: Live, radiograph: bytes
) -> None:
    client = live_on_gpu.client

    def states() -> list[tuple[int, str]]:
        answers = [client.get(f"/health{probe}") for probe in ("/live", "", "/ready")]
        return [(each.status_code, each.json()["status"]) for each in answers]

    before = states()
    gpu.lost = True
    alive, health, ready = (client.get(f"/health{probe}") for probe in ("/live", "", "/ready"))
    lost = live_on_gpu.predict_files(("a.jpg", radiograph), ("b.jpg", radiograph))
    gpu.lost = False
    client.get("/health/live")
    after = states()
    # A balancer asks for nothing but this.
    gpu.lost = True
    asked_alone = client.get("/health/ready")
    gpu.lost = False
    client.get("/health/live")

    assert before == after == [(200, "live"), (200, "ready"), (200, "ready")]
    answers = (alive, ready, lost, asked_alone)
    assert {problem(each) for each in answers} == {(503, "device-lost")}
    assert (health.status_code, health.json()["status"]) == (503, "device-lost")
    assert int(lost.headers["retry-after"]) >= 1
    assert live_on_gpu.predict(radiograph).status_code == 200


def test_a_gpu_that_fails_on_an_image_is_looked_at_again_when_health_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendsToBeCuda)
    write_fragile_bundle(tmp_path)

    with serving_models(tmp_path, provider="cuda") as live:
        refused = live.predict(as_png(np.full((64, 64), 255, np.uint8)))
        lost = live.client.get("/health")
        eventually(lambda: live.client.get("/health").is_success)
        answered = live.predict(as_png(np.zeros((64, 64), np.uint8)))

    assert problem(refused) == (503, "device-lost")
    assert (lost.status_code, lost.json()["status"]) == (503, "device-lost")
    assert answered.json()["execution_provider"] == CUDA


def test_a_gpu_that_hangs_fails_liveness_and_holds_up_nobody_who_asks_for_the_state(
    gpu: LosableGpu, live_on_gpu: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = live_on_gpu.client
    monkeypatch.setattr("service.runtime.PROBE_TIMEOUT_S", 0.2)

    gpu.go.clear()
    probes = client.get("/health/live"), client.get("/health/ready")
    monkeypatch.setattr("service.runtime.PROBE_TIMEOUT_S", 30)
    started = time.monotonic()
    asked = [client.get("/health").status_code for _ in range(10)]
    seconds = time.monotonic() - started
    gpu.go.set()
    eventually(lambda: client.get("/health").is_success)

    assert [problem(probe) for probe in probes] == [(503, "device-lost")] * 2
    assert client.get("/health/live").is_success
    assert asked == [503] * 10
    assert seconds < 10


@pytest.mark.parametrize(
    ("provider", "built_in", "warnings"),
    [("auto", [CUDA, CPU], 1), ("cpu", [CUDA, CPU], 0), ("auto", [CPU], 0)],
)
def test_a_fallback_to_the_cpu_is_warned_of_once_and_what_was_asked_for_never(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    provider: Provider,
    built_in: list[str],
    warnings: int,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_in)
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    write_bundle(tmp_path, version=1)
    write_bundle(tmp_path, version=2)

    with serving_models(tmp_path, provider=provider) as live:
        runs_on = live.client.get("/health").json()["execution_provider"]

    log = map(orjson.loads, capfd.readouterr().out.splitlines())
    said = [line for line in log if line["level"] == "warning"]
    assert runs_on == CPU
    assert [line["event"] for line in said] == ["cuda not used"] * warnings
    assert all("cannot open shared object file" in line["reason"] for line in said)


def test_memory_that_runs_out_is_a_problem_of_its_file_and_nothing_of_it_is_said(
    models: Path,
    radiograph: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def hungry(data: bytes, **limits: Any) -> Radiograph:
        if data.endswith(b"hungry"):
            raise MemoryError("doe^jane")
        if data.endswith(b"strange"):
            raise KeyError("doe^jane")
        return decode(data, **limits)

    monkeypatch.setattr("service.predictor.decode", hungry)
    bad = radiograph + b"hungry", radiograph + b"strange"
    with serving_models(models, threads=1) as live:
        alone = [live.predict(file) for file in bad]
        files = (("a.jpg", radiograph), ("b", bad[0]), ("c", bad[1]), ("d.jpg", radiograph))
        several = live.predict_files(*files)
        good = live.predict(radiograph)
    log = capfd.readouterr().out

    assert [problem(response) for response in alone] == [
        (503, "out-of-memory"),
        (500, "internal-error"),
    ]
    results = several.json()["results"]
    assert [result["status"] for result in results] == ["ok", "error", "error", "ok"]
    assert [result["problem"]["status"] for result in results[1:3]] == [503, 500]
    assert good.status_code == 200
    failures = [e for e in map(orjson.loads, log.splitlines()) if e["event"] == "file failed"]
    assert [e["error"] for e in failures] == ["MemoryError", "KeyError"] * 2
    assert all("test_lifecycle.hungry" in str(e["places"]) for e in failures)
    assert "doe" not in log


def test_no_upload_touches_the_disk(models: Path, radiograph: bytes) -> None:
    # The limit makes every write to a file fail, whatever its folder.
    with process(models) as service:
        resource.prlimit(service.popen.pid, resource.RLIMIT_FSIZE, (0, 0))
        parts = [("file", ("a.jpg", radiograph + b"\0" * 4 * MIB)) for _ in range(4)]
        response = service.post(files=parts)

    assert response.status_code == 200
    assert [result["status"] for result in response.json()["results"]] == ["ok"] * 4


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\0" * 3 * MIB, 413), (b"\xff\xd8\xff" + b"\0" * MIB, 422)],
)
def test_refused_images_leave_no_memory_behind(models: Path, body: bytes, status: int) -> None:
    with (
        process(models, PNEUMO_MAX_BODY_BYTES=str(2 * MIB)) as service,
        httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client,
    ):
        statuses = {client.post("/predict", content=body).status_code for _ in range(5)}
        before = service.resident_bytes()
        statuses |= {client.post("/predict", content=body).status_code for _ in range(25)}
        after = service.resident_bytes()

    assert statuses == {status}
    assert after - before < 8 * len(body)


def test_neither_names_nor_values_of_a_patient_reach_the_log(models: Path) -> None:
    with process(models) as service:
        parts = [("file", ("doe-jane.dcm", b"\0" * 128 + b"DICM" + b"doe-jane"))]
        service.post("/predict?model=doe-jane", files=parts)
        service.post(files=parts)
        service.get("/doe-jane")
        eventually(lambda: len(service.events("request")) == 3)

    assert "doe-jane" not in "".join(service.log)


def test_a_second_signal_stops_at_once(tmp_path: Path, radiograph: bytes) -> None:
    write_bundle(tmp_path, ballast=8000)
    head = HEAD % len(radiograph)

    with (
        process(tmp_path) as service,
        connect(service.port) as accepted,
    ):
        accepted.sendall(head + radiograph)
        eventually(lambda: "in_flight 1.0" in service.get("/metrics").text)
        service.popen.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(service.port))
        service.popen.send_signal(signal.SIGTERM)
        exit_code = service.popen.wait(timeout=60)
        answered = until_closed(accepted)

    assert exit_code == 128 + signal.SIGTERM
    assert answered == ""
