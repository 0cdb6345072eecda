"""A stop while much is under way: nothing that was accepted is lost."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import httpx

from service.domain import ServedModel
from service.repository import ModelRepository
from service.settings import Settings
from tests.bundles import make_manifest, write_bundle
from tests.gated_session import GatedSession
from tests.integration.live import JPEG, Live, eventually, process, refuses, serving

CLIENTS = 8


def open_when_stopping(gate: threading.Event, live: Live) -> None:
    eventually(lambda: not live.server.servers[0].is_serving())
    gate.set()


def test_whatever_is_in_work_or_waits_is_answered_before_the_end(radiograph: bytes) -> None:
    gate = threading.Event()
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), GatedSession(gate))
    settings = Settings(port=0, threads=2)

    with ThreadPoolExecutor(CLIENTS + 1) as clients:
        with serving(settings, lambda _: ModelRepository([model])) as live:
            url = f"http://127.0.0.1:{live.server.port}/predict"
            one = partial(httpx.post, url, content=radiograph, trust_env=False, timeout=60)
            three = partial(
                httpx.post, url, files=[("file", radiograph)] * 3, trust_env=False, timeout=60
            )
            requests = [clients.submit(one) for _ in range(CLIENTS - 1)] + [clients.submit(three)]
            eventually(lambda: live.in_flight() == CLIENTS - 1 + 3)
            # The end of this block stops the service, which only then can end its work.
            clients.submit(open_when_stopping, gate, live)
        answers = [request.result() for request in requests]

    assert [answer.status_code for answer in answers] == [200] * CLIENTS
    assert [result["status"] for result in answers[-1].json()["results"]] == ["ok"] * 3


def test_a_request_that_is_on_its_way_when_the_port_closes_is_answered(
    tmp_path: Path, radiograph: bytes
) -> None:
    write_bundle(tmp_path)

    with process(tmp_path) as service:
        connections = [HTTPConnection("127.0.0.1", service.port) for _ in range(CLIENTS)]
        for connection in connections:
            connection.request("GET", "/health/live")
            connection.getresponse().read()
        service.popen.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(service.port))
        for connection in connections:
            connection.request("POST", "/predict", radiograph, JPEG)
        answers = [connection.getresponse() for connection in connections]
        problems = [json.loads(answer.read())["type"] for answer in answers]
        exit_code = service.popen.wait(timeout=60)
        for connection in connections:
            connection.close()

    assert [answer.status for answer in answers] == [503] * CLIENTS
    assert {answer.headers["Connection"] for answer in answers} == {"close"}
    assert problems == ["/problems/shutting-down"] * CLIENTS
    assert exit_code == 0
