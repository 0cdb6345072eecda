"""The Open Inference Protocol under load."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from service.domain import ServedModel
from service.repository import ModelRepository
from service.settings import Settings
from tests.bundles import SIZE, make_manifest
from tests.gated_session import GatedSession
from tests.integration.live import Live, eventually, serving

INFER = "/v2/models/tiny/infer"


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
