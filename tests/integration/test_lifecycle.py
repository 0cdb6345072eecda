"""From the start of the process to its stop, and what can go wrong at either end."""

import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
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
from service.domain import CPU, Outputs, ServedModel
from service.errors import DeviceLost
from service.machine import Provider
from service.repository import ModelRepository
from service.runtime import open_repository
from service.server import Server
from service.session import CUDA
from service.settings import Settings
from tests.bundles import make_manifest, write_bundle, write_fragile_bundle
from tests.gated_session import REAL_SESSION, PretendsToBeCuda, outputs_of
from tests.integration.live import (
    Live,
    command_line,
    eventually,
    log_of,
    problem,
    process,
    refuses,
    serving,
)
from tests.synthetic import as_png

MIB = 1024 * 1024
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def on_the_cpu(model: bytes, tuning: object, _providers: object, **_: object) -> object:
    """A session that fell back to the CPU."""
    return REAL_SESSION(model, tuning, [CPU])


class LosableGpu:
    """A session on a GPU that can be lost, as a container loses its own."""

    provider = "CUDAExecutionProvider"

    def __init__(self) -> None:
        self.lost = False
        self.answers = threading.Event()
        self.answers.set()

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        self.answers.wait()
        if self.lost:
            raise DeviceLost
        return outputs_of(outputs, np.tile(np.array([0, 1], np.float32), (len(images), 1)))


@pytest.fixture
def gpu() -> LosableGpu:
    return LosableGpu()


@pytest.fixture
def live_on_gpu(gpu: LosableGpu) -> Iterator[Live]:
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), gpu)
    with serving(Settings(port=0), lambda _: ModelRepository([model])) as running:
        yield running


def until_closed(connection: socket.socket) -> str:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces).decode()


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
        socket.create_connection(("127.0.0.1", service.port)) as accepted,
        socket.create_connection(("127.0.0.1", service.port)) as unfinished,
    ):
        unfinished.sendall(head + radiograph[:100])
        accepted.sendall(head + radiograph)
        eventually(lambda: "in_flight 1.0" in service.get("/metrics").text)
        service.popen.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(service.port))
        unfinished.sendall(radiograph[100:])
        too_late, answered = until_closed(unfinished), until_closed(accepted)
        exit_code = service.popen.wait(timeout=60)

    assert too_late.startswith("HTTP/1.1 503 ")
    assert "/problems/shutting-down" in too_late
    assert "retry-after: " in too_late
    assert answered.startswith("HTTP/1.1 200 ")
    assert exit_code == 0


def test_a_service_that_stops_says_so_to_its_probes(models: Path, radiograph: bytes) -> None:
    with serving(Settings(models_dir=models, port=0)) as live:
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


def test_a_lost_gpu_fails_liveness_and_refuses_images(
    gpu: LosableGpu, live_on_gpu: Live, radiograph: bytes
) -> None:
    live = live_on_gpu

    before = live.client.get("/health/live").status_code, live.predict(radiograph).status_code
    gpu.lost = True
    alive, lost = live.client.get("/health/live"), live.predict(radiograph)
    gpu.lost = False
    after = live.client.get("/health/live").status_code, live.predict(radiograph).status_code

    assert before == after == (200, 200)
    assert problem(alive) == problem(lost) == (503, "device-lost")
    assert int(lost.headers["retry-after"]) >= 1


def states(live: Live) -> list[tuple[int, str]]:
    health, ready = live.client.get("/health"), live.client.get("/health/ready")
    said = ready.json()["status"] if ready.is_success else problem(ready)[1]
    return [(health.status_code, health.json()["status"]), (ready.status_code, said)]


def test_a_lost_gpu_is_not_ready_and_is_ready_again_when_it_is_back(
    gpu: LosableGpu, live_on_gpu: Live
) -> None:
    before = states(live_on_gpu)
    gpu.lost = True
    noticed = live_on_gpu.client.get("/health/ready")
    lost = states(live_on_gpu)
    gpu.lost = False
    live_on_gpu.client.get("/health/live")
    after = states(live_on_gpu)

    assert before == after == [(200, "ready"), (200, "ready")]
    assert problem(noticed) == (503, "device-lost")
    assert lost == [(503, "device-lost"), (503, "device-lost")]


def test_a_gpu_that_fails_on_an_image_is_looked_at_again_when_health_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendsToBeCuda)
    write_fragile_bundle(tmp_path)

    with serving(Settings(models_dir=tmp_path, port=0, provider="cuda")) as live:
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

    gpu.answers.clear()
    probes = client.get("/health/live"), client.get("/health/ready")
    monkeypatch.setattr("service.runtime.PROBE_TIMEOUT_S", 30)
    started = time.monotonic()
    asked = [client.get("/health").status_code for _ in range(10)]
    seconds = time.monotonic() - started
    gpu.answers.set()
    eventually(lambda: client.get("/health").is_success)

    assert [problem(probe) for probe in probes] == [(503, "device-lost")] * 2
    assert client.get("/health/live").is_success
    assert asked == [503] * 10
    assert seconds < 10


def test_a_fallback_to_the_cpu_is_logged_once_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    write_bundle(tmp_path, version=1)
    write_bundle(tmp_path, version=2)

    with serving(Settings(models_dir=tmp_path, port=0, provider="auto")) as live:
        provider = live.client.get("/health").json()["execution_provider"]

    (warning,) = log_of(capfd, "cuda not used")
    assert provider == CPU
    assert "cannot open shared object file" in warning["reason"]


@pytest.mark.parametrize(("provider", "built_in"), [("cpu", [CUDA, CPU]), ("auto", [CPU])])
def test_a_cpu_that_was_asked_for_or_is_all_there_is_needs_no_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    provider: Provider,
    built_in: list[str],
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_in)
    write_bundle(tmp_path)

    with serving(Settings(models_dir=tmp_path, port=0, provider=provider)):
        pass

    assert '"level":"warning"' not in capfd.readouterr().out


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
    with serving(Settings(models_dir=models, port=0, threads=1)) as live:
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


def test_cuda_without_a_gpu_stops_the_start_and_says_why(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    arguments = ("--port", "0", "--models-dir", str(tmp_path), "--provider", "cuda")

    ended = subprocess.run(
        command_line("run", *arguments), capture_output=True, text=True, timeout=120, check=False
    )

    assert ended.returncode == 1
    (said,) = [line for line in ended.stdout.splitlines() if "cannot start" in line]
    assert orjson.loads(said)["reason"].startswith("The model cannot run on CUDA: ")
    assert "Traceback" not in ended.stdout + ended.stderr


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
        socket.create_connection(("127.0.0.1", service.port)) as accepted,
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
