"""More work than the service can do: what is shed, what is dropped, and what still answers."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.repository import ModelRepository
from service.settings import Settings
from tests.bundles import SIZE, write_bundle
from tests.integration.live import HEAD, Live, connect, eventually, problem, serving, serving_models
from tests.sessions import FakeSession, served

SLOW = 3000


@pytest.fixture(scope="module")
def slow_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slow")
    write_bundle(folder, "quick")
    write_bundle(folder, "slow", ballast=SLOW)
    return folder


@pytest.fixture
def busy(slow_models: Path) -> Iterator[Live]:
    with serving_models(slow_models, queue_limit=3, max_files=3, threads=1) as running:
        yield running


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def occupy(
    live: Live, clients: ThreadPoolExecutor, image: bytes, count: int
) -> list[Future[httpx.Response]]:
    requests = [clients.submit(live.predict, image, model="slow") for _ in range(count)]
    eventually(lambda: live.in_flight() == count)
    return requests


def test_a_full_queue_sheds_images_and_nothing_else_until_it_has_room(
    busy: Live, clients: ThreadPoolExecutor, radiograph: bytes
) -> None:
    measured = busy.predict(radiograph, model="slow").json()["timing_ms"]
    accepted = occupy(busy, clients, radiograph, 3)

    shed = busy.predict(radiograph)
    health = [busy.client.get(path) for path in ("/health", "/health/live", "/health/ready")]
    metrics = busy.client.get("/metrics")

    assert problem(shed) == (429, "queue-full")
    assert int(shed.headers["retry-after"]) >= max(1, 3 * measured["inference"] / 1000)
    assert [response.status_code for response in (*health, metrics)] == [200] * 4
    assert "pneumoscope_images_in_flight 3.0" in metrics.text
    assert (health[0].json()["in_flight"], health[0].json()["queue_limit"]) == (3, 3)
    assert not any(request.done() for request in accepted)
    assert [request.result().status_code for request in accepted] == [200] * 3
    assert busy.predict(radiograph).status_code == 200


def test_several_files_are_admitted_all_or_none(
    busy: Live, clients: ThreadPoolExecutor, radiograph: bytes
) -> None:
    accepted = occupy(busy, clients, radiograph, 1)

    too_many = busy.predict_files(*[("a.jpg", radiograph)] * 3)
    enough = busy.predict_files(*[("a.jpg", radiograph)] * 2, model="quick")

    assert problem(too_many) == (429, "queue-full")
    assert enough.status_code == 200
    assert accepted[0].result().status_code == 200


def test_a_request_past_its_deadline_is_refused_and_its_work_dropped(
    slow_models: Path, clients: ThreadPoolExecutor, radiograph: bytes
) -> None:
    with serving_models(slow_models, threads=1, request_deadline_s=0.2) as live:
        late = list(clients.map(lambda _: live.predict(radiograph, model="slow"), range(3)))
        eventually(lambda: live.in_flight() == 0)
        eventually(lambda: live.predict(radiograph, model="quick").status_code == 200)
        metrics = live.client.get("/metrics").text

    assert {problem(response) for response in late} == {(429, "deadline-exceeded")}
    assert all(int(response.headers["retry-after"]) >= 1 for response in late)
    assert 'decision="normal",model="slow"' not in metrics


def test_the_work_of_a_client_that_went_away_is_dropped(
    busy: Live, clients: ThreadPoolExecutor, radiograph: bytes
) -> None:
    (accepted,) = occupy(busy, clients, radiograph, 1)
    head = HEAD.replace(b"/predict", b"/predict?model=slow") % len(radiograph)
    with connect(busy.server.port) as connection:
        connection.sendall(head + radiograph)
        eventually(lambda: busy.in_flight() == 2)
    eventually(lambda: busy.in_flight() == 1)

    assert not accepted.done()
    assert accepted.result().status_code == 200
    busy.predict(radiograph, model="quick")
    metrics = busy.client.get("/metrics").text
    assert 'decision="normal",model="slow",version="1"} 1.0' in metrics
    assert 'route="/predict",status="499"} 1.0' in metrics


def test_a_stat_image_goes_ahead_of_routine_ones(
    busy: Live, clients: ThreadPoolExecutor, radiograph: bytes
) -> None:
    order: list[str] = []
    lock = threading.Lock()

    def send(priority: str) -> None:
        busy.predict(radiograph, model="slow", priority=priority)
        with lock:
            order.append(priority)

    requests = []
    for count, priority in enumerate(("routine", "routine", "stat"), 1):
        requests.append(clients.submit(send, priority))
        eventually(lambda count=count: busy.in_flight() == count)  # type: ignore[misc]
    for request in requests:
        request.result()

    assert order == ["routine", "stat", "routine"]


@pytest.fixture
def session() -> Iterator[FakeSession]:
    """Answers when ``go`` is set."""
    session = FakeSession()
    yield session
    session.go.set()


def ask(live: Live, images: int, timeout_s: float = 60) -> httpx.Response:
    shape = [images, SIZE, SIZE, 1]
    data = [0] * (images * SIZE * SIZE)
    tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": data}
    return live.client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}, timeout=timeout_s)


@pytest.fixture
def holding(session: FakeSession) -> Iterator[tuple[Live, Future[httpx.Response]]]:
    """A service that three images of four are in, and the request that they came with."""
    settings = Settings(port=0, max_files=4, queue_limit=4)
    models = ModelRepository([served(session)])
    with serving(settings, lambda _: models) as live, ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, live, 3)
        eventually(lambda: live.in_flight() == 3)
        yield live, running
        session.go.set()


def test_every_image_of_a_batch_counts_and_the_work_of_a_client_that_went_away_is_dropped(
    holding: tuple[Live, Future[httpx.Response]], session: FakeSession
) -> None:
    live, running = holding

    with pytest.raises(httpx.ReadTimeout):
        ask(live, 1, timeout_s=0.2)
    eventually(lambda: live.in_flight() == 3)
    refused = ask(live, 2)
    health = [live.client.get(f"/v2/health/{probe}").json() for probe in ("live", "ready")]
    is_done = running.done()
    session.go.set()

    assert refused.status_code == 429
    assert refused.json() == {"error": "3 images are in flight, and at most 4 may be."}
    assert int(refused.headers["retry-after"]) >= 1
    assert health == [{"live": True}, {"ready": True}]
    assert not is_done
    assert running.result().json()["outputs"][0]["shape"] == [3, 2]
    assert ask(live, 4).status_code == 200


def test_a_request_of_the_protocol_past_its_deadline_is_refused(session: FakeSession) -> None:
    settings = Settings(port=0, request_deadline_s=0.1)

    with serving(settings, lambda _: ModelRepository([served(session)])) as live:
        response = ask(live, 2)
        session.go.set()

    assert response.status_code == 429
    assert response.json() == {"error": "The request was not served within 0.1 s."}
    assert live.in_flight() == 0
