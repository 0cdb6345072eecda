"""The Open Inference Protocol under load, behind keys, and before the models are loaded."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from pydantic import SecretStr

from service.domain import ServedModel
from service.repository import ModelRepository
from service.settings import Settings
from tests.bundles import SIZE, make_manifest
from tests.gated_session import GatedSession
from tests.integration.live import Live, eventually, key_of, serving

INFER = "/v2/models/tiny/infer"
READER = "reader-key-0123456789"


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """The model answers when this is set."""
    event = threading.Event()
    yield event
    event.set()


def holding(let_go: threading.Event) -> ModelRepository:
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), GatedSession(let_go))
    return ModelRepository([model])


def ask(live: Live, images: int, timeout_s: float = 60) -> httpx.Response:
    shape = [images, SIZE, SIZE, 1]
    data = [0] * (images * SIZE * SIZE)
    tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": data}
    return live.client.post(INFER, json={"inputs": [tensor]}, timeout=timeout_s)


@pytest.fixture
def busy(let_go: threading.Event) -> Iterator[tuple[Live, Future[httpx.Response]]]:
    """A service that three images of four are in, and the request that they came with."""
    settings = Settings(port=0, max_files=4, queue_limit=4)
    with serving(settings, lambda _: holding(let_go)) as live, ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, live, 3)
        eventually(lambda: live.in_flight() == 3)
        yield live, running
        let_go.set()


def test_every_image_of_a_batch_counts_for_the_queue(
    busy: tuple[Live, Future[httpx.Response]], let_go: threading.Event
) -> None:
    live, running = busy

    refused = ask(live, 2)
    health = [live.client.get(f"/v2/health/{probe}").json() for probe in ("live", "ready")]
    let_go.set()

    assert refused.status_code == 429
    assert refused.json() == {"error": "3 images are in flight, and at most 4 may be."}
    assert int(refused.headers["retry-after"]) >= 1
    assert health == [{"live": True}, {"ready": True}]
    assert running.result().json()["outputs"][0]["shape"] == [3, 2]
    assert ask(live, 4).status_code == 200


def test_the_work_of_a_client_that_went_away_is_dropped(
    busy: tuple[Live, Future[httpx.Response]],
) -> None:
    live, running = busy

    with pytest.raises(httpx.ReadTimeout):
        ask(live, 1, timeout_s=0.2)

    eventually(lambda: live.in_flight() == 3)
    assert not running.done()


def test_a_request_past_its_deadline_is_refused(let_go: threading.Event) -> None:
    settings = Settings(port=0, request_deadline_s=0.1)

    with serving(settings, lambda _: holding(let_go)) as live:
        response = ask(live, 2)
        let_go.set()

    assert response.status_code == 429
    assert response.json() == {"error": "The request was not served within 0.1 s."}
    assert live.in_flight() == 0


def test_while_the_models_load_the_server_lives_and_is_not_ready(let_go: threading.Event) -> None:
    def load(_: Settings) -> ModelRepository:
        let_go.wait()
        return holding(let_go)

    with serving(Settings(port=0), load, ready=False) as live:
        alive = live.client.get("/v2/health/live")
        others = [
            live.client.get("/v2/health/ready"),
            live.client.get("/v2/models/tiny/ready"),
            live.client.get("/v2/models/tiny"),
            ask(live, 1),
        ]
        let_go.set()

    assert alive.status_code == 200
    assert [response.status_code for response in others] == [503] * 4
    assert all(response.headers["retry-after"] for response in others)
    assert all("loading" in response.json()["error"] for response in others)


def test_a_key_is_asked_for_as_elsewhere(let_go: threading.Event) -> None:
    held = {"reader": key_of(READER, ["read"])}
    settings = Settings(port=0, api_keys=SecretStr(json.dumps(held)))

    with serving(settings, lambda _: holding(let_go)) as live:
        ready = live.client.get("/v2/health/ready")
        without = [live.client.get("/v2"), live.client.get("/v2/models/tiny"), ask(live, 1)]
        live.client.headers["Authorization"] = f"Bearer {READER}"
        described, forbidden = live.client.get("/v2/models/tiny"), ask(live, 1)

    assert ready.status_code == 200
    assert [response.status_code for response in without] == [401] * 3
    assert all("www-authenticate" in response.headers for response in without)
    assert described.status_code == 200
    assert forbidden.status_code == 403
    assert "predict" in forbidden.json()["error"]
