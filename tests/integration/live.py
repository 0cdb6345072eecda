"""The service on a real port: in a thread of the test, or as a process of its own."""

import base64
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.app import create_app
from service.runtime import OpenModels, open_repository
from service.schemas import HeatmapResult, ImageAnswer, LungsResult, PredictionBody
from service.server import Server
from service.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 120
JPEG = {"Content-Type": "image/jpeg"}
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True)
class Live:
    """A running service and a client of it."""

    server: Server
    client: httpx.Client

    def predict(self, image: bytes, **query: object) -> httpx.Response:
        return self.client.post("/predict", content=image, params=_text(query), headers=JPEG)

    def predict_files(self, *files: tuple[str, bytes], **query: object) -> httpx.Response:
        parts = [("file", file) for file in files]
        return self.client.post("/predict", files=parts, params=_text(query))

    def answer(self, image: bytes, **query: object) -> ImageAnswer:
        """What is answered for one image, as the schema has it."""
        response = self.predict(image, **query)
        assert response.status_code == 200
        (result,) = PredictionBody.model_validate_json(response.content).results
        assert isinstance(result, ImageAnswer)
        return result

    def in_flight(self) -> int:
        return int(self.server.runtime.admission.in_flight)


@contextmanager
def serving(
    settings: Settings, open_models: OpenModels = open_repository, *, ready: bool = True
) -> Iterator[Live]:
    """Serve in a thread, on a free port of the loopback; ready, unless told otherwise."""
    server = Server(create_app(settings, open_models))
    thread = threading.Thread(target=server.run, name="service")
    thread.start()
    try:
        eventually(lambda: server.started)
        if ready:
            eventually(lambda: server.runtime.status == "ready")
        with httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE_S, trust_env=False
        ) as client:
            yield Live(server, client)
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join()


@contextmanager
def serving_models(models: Path, **settings: object) -> Iterator[Live]:
    """Serve the models of a folder, on a free port, as other settings say."""
    with serving(Settings.model_validate({"models_dir": models, "port": 0, **settings})) as live:
        yield live


@dataclass(frozen=True)
class Process:
    """The service as a process of its own."""

    popen: subprocess.Popen[str]
    log: list[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE_S, trust_env=False, **options)

    def post(self, path: str = "/predict", **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", timeout=PATIENCE_S, trust_env=False, **options)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for line in self.log if (event := json.loads(line))["event"] == name]

    def resident_bytes(self, line: str = "VmRSS") -> int:
        """Its memory; with ``VmHWM`` the most that it has had."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(status.partition(f"{line}:")[2].split()[0]) * 1024


@contextmanager
def process(
    models: Path, *arguments: str, workers: int = 1, **environment: str
) -> Iterator[Process]:
    """Start ``pneumo-serve run`` and wait until it, or each of its workers, is ready."""
    command = command_line("run", "--port", "0", "--models-dir", str(models))
    popen = subprocess.Popen(
        [*arguments, *command],
        cwd=REPOSITORY,
        env={**os.environ, "PNEUMO_WORKERS": str(workers), "PNEUMO_PROVIDER": "cpu", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log: list[str] = []
    reader = threading.Thread(target=_read, args=(popen, log))
    reader.start()
    try:
        started = Process(popen, log, 0)
        eventually(lambda: len(started.events("ready")) == workers)
        eventually(lambda: bool(started.events("listening")))
        yield Process(popen, log, started.events("listening")[0]["port"])
    finally:
        popen.kill()
        popen.wait()
        reader.join()


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service", *arguments]


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waiting to be collected by its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def pixels_of(picture: HeatmapResult | LungsResult | None) -> NDArray[np.uint8]:
    """The gray pixels of a heatmap, or of lungs, in the size that the answer says."""
    assert picture is not None
    with Image.open(io.BytesIO(base64.b64decode(picture.data))) as png:
        assert (png.format, png.mode, png.size) == ("PNG", "L", (picture.width, picture.height))
        return np.asarray(png)


def problem(response: httpx.Response) -> tuple[int, str]:
    """The status and the slug of a problem detail, whose form is checked."""
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert body["status"] == response.status_code
    assert body["instance"] == f"urn:request:{quote(response.headers['x-request-id'], '')}"
    return response.status_code, body["type"].removeprefix("/problems/")


def key_of(key: str, scopes: list[str], **limits: int) -> dict[str, object]:
    """A key as a key file has it."""
    return {"sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": scopes, **limits}


def connect(port: int) -> socket.socket:
    """A connection, to send whatever is no request, or not yet."""
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def until_closed(connection: socket.socket) -> str:
    """What comes until the service closes a connection."""
    with connection.makefile("rb") as received:
        return received.read().decode()


def refuses(port: int) -> bool:
    """Whether nobody listens on a port any more."""
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def log_of(capfd: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    """The events of a name that a service of this process has logged since the last look."""
    lines = map(json.loads, capfd.readouterr().out.splitlines())
    return [line for line in lines if line["event"] == event]


def _read(popen: subprocess.Popen[str], log: list[str]) -> None:
    assert popen.stdout is not None
    with popen.stdout as lines:
        for line in lines:
            log.append(line)  # noqa: PERF402 - each line is seen as soon as it comes


def _text(query: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items()}
