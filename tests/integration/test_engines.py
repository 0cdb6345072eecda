"""Images that are read by processes of their own: the answers, and what outlives such a process."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.batch_plan import SINGLE_IMAGES, BatchPlan
from service.repository import ModelRepository, by_name_and_version
from service.runtime import OpenModels, open_repository
from service.settings import Settings
from tests.bundles import (
    write_bundle,
    write_fragile_bundle,
    write_segmenter_bundle,
)
from tests.integration.live import (
    JPEG,
    Live,
    Process,
    alive,
    eventually,
    problem,
    process,
    serving,
    state_of,
)
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph

ENGINES = 2
MIB = 1024 * 1024


def settings(models: Path, engines: int = ENGINES, **others: object) -> Settings:
    return Settings.model_validate(
        {"models_dir": models, "port": 0, "provider": "cpu", "engines": engines, **others}
    )


def planned(plan: BatchPlan, file: bytes | None = None) -> OpenModels:
    """The folder's models, but with another plan than what was measured, or another file too."""

    def open_models(read: Settings) -> ModelRepository:
        found = open_repository(read)
        models = [replace(each, plan=plan, file=file or each.file) for each in found.all()]
        return ModelRepository(by_name_and_version(models), segmenter=found.segmenter)

    return open_models


@pytest.fixture(scope="module")
def both(models: Path) -> Iterator[tuple[Live, Live]]:
    """The same models behind threads and behind engines."""
    open_models = planned(SINGLE_IMAGES)
    with (
        serving(settings(models, 0), open_models) as threads,
        serving(settings(models), open_models) as engines,
    ):
        yield threads, engines


@pytest.fixture(scope="module")
def with_engines(both: tuple[Live, Live]) -> Live:
    return both[1]


def flat(value: int) -> bytes:
    return as_png(np.full((64, 64), value, np.uint8))


def lasting(response: httpx.Response) -> object:
    """What does not differ between two answers to the same request."""
    body: dict[str, Any] = response.json()
    for name in ("id", "timing_ms", "instance"):
        body.pop(name, None)
    for result in body.get("results", ()):
        result.get("problem", {}).pop("instance", None)
    return response.status_code, body


REQUESTS: dict[str, Callable[[Live], httpx.Response]] = {
    "jpeg": lambda live: live.predict(as_jpeg(synthetic_radiograph(300, 400))),
    "heatmap": lambda live: live.predict(
        as_jpeg(synthetic_radiograph(900, 1000)), explain="heatmap"
    ),
    "ct": lambda live: live.predict(as_dicom(synthetic_radiograph(64, 64), Modality="CT")),
    "version": lambda live: live.predict(flat(250), model="tiny", version=1),
    "unknown version of the chosen model": lambda live: live.predict(flat(250), version=7),
    "unknown model": lambda live: live.predict(flat(250), model="huge"),
    "no image": lambda live: live.predict(b"no image"),
    "lateral view": lambda live: live.predict(
        as_dicom(synthetic_radiograph(64, 64), ViewPosition="LL")
    ),
    "files": lambda live: live.predict_files(
        ("white", flat(255)), ("text", b"no image"), ("black", flat(0)), ("gray", flat(128))
    ),
}


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_engines_answer_as_threads_do(
    both: tuple[Live, Live], request_of: Callable[[Live], httpx.Response]
) -> None:
    threads, engines = map(lasting, map(request_of, both))

    assert engines == threads


def test_the_times_are_those_of_the_engine(with_engines: Live, radiograph: bytes) -> None:
    times = with_engines.predict(radiograph).json()["timing_ms"]

    assert times["decode"] > 0
    assert times["inference"] > 0
    assert times["decode"] + times["queue"] + times["inference"] <= times["total"]


@pytest.mark.parametrize("side", [1100, 3000])
def test_a_file_may_be_larger_than_what_is_copied_at_once(with_engines: Live, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    file = as_png(noise)
    assert len(file) > MIB

    first, second = with_engines.predict(file), with_engines.predict(flat(250))

    assert first.json()["results"][0]["decision"] == "refer"
    assert second.json()["results"][0]["decision"] == "pneumonia"


def test_many_clients_get_each_their_own_answer(with_engines: Live) -> None:
    brightness = [0, 255, 128, 20, 240] * 8
    expected = {0: "normal", 20: "normal", 128: "refer", 240: "pneumonia", 255: "pneumonia"}

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(with_engines.predict, map(flat, brightness)))

    decisions = [answer.json()["results"][0]["decision"] for answer in answers]
    assert decisions == [expected[value] for value in brightness]


def test_a_model_that_does_not_run_is_reported_as_one_does_here(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_fragile_bundle(tmp_path, fails_on=255)

    with serving(settings(tmp_path)) as live:
        fails, works = live.predict(flat(255)), live.predict(flat(10))

    assert problem(fails) == (500, "internal-error")
    assert works.status_code == 200
    assert '"error":"InferenceFailed"' in (told := capfd.readouterr().out)
    assert "Gather" in told


def test_images_that_wait_for_a_batch_are_read_by_engines_too(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    in_batches = planned(BatchPlan((1, 2, 4), 0.01))

    with serving(settings(tmp_path), in_batches) as live, ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(live.predict, map(flat, [0, 255, 0, 255])))
        heatmap = live.predict(flat(255), explain="heatmap").json()["results"][0]["heatmap"]
        batches = live.client.get("/metrics").text

    decisions = [answer.json()["results"][0]["decision"] for answer in answers]
    assert decisions == ["normal", "pneumonia"] * 2
    assert heatmap["label"] == "pneumonia"
    assert 'pneumoscope_batch_size_sum{model="tiny"' in batches


def test_the_lungs_are_found_by_engines_too(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    write_segmenter_bundle(tmp_path)

    with serving(settings(tmp_path)) as live:
        answer = live.predict(flat(40), explain="heatmap").json()["results"][0]

    assert answer["lungs"]["width"] == 64


def test_a_new_version_serves_from_its_own_engines_and_the_old_ones_end(tmp_path: Path) -> None:
    models, shelf = tmp_path / "models", tmp_path / "shelf"
    write_bundle(models, "tiny", 1)
    write_bundle(shelf, "tiny", 2)

    with process(models, PNEUMO_ENGINES=str(ENGINES)) as service:
        before = engines_of(service)
        first = post(service, flat(250)).json()["model"]["version"]
        shutil.copytree(shelf / "tiny" / "2", models / "tiny" / "2")
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("reload")) == 1)
        second = post(service, flat(250)).json()["model"]["version"]
        eventually(lambda: not before & engines_of(service))
        after = engines_of(service)
        # Nothing has changed since: the engines stay.
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("reload")) == 2)
        assert engines_of(service) == after

    assert (first, second) == (1, 2)
    assert len(before) == len(after) == ENGINES


def test_a_file_that_kills_its_engine_takes_no_other_with_it(tmp_path: Path) -> None:
    write_bundle(tmp_path, ballast=2000)

    with process(tmp_path, PNEUMO_ENGINES="1") as service, ThreadPoolExecutor(3) as clients:
        (engine,) = engines_of(service)
        requests = [clients.submit(post, service, flat(250)) for _ in range(3)]
        eventually(lambda: in_flight(service) == 3 and working(engine))
        os.kill(engine, signal.SIGKILL)
        answers = [request.result() for request in requests]
        again = post(service, flat(250))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 200, 500]
    assert again.status_code == 200
    (failed,) = [answer for answer in answers if answer.status_code == 500]
    assert problem(failed) == (500, "internal-error")
    (told,) = service.events("file failed")
    assert told["error"] == "EngineDied"
    (ended,) = service.events("engine ended")
    assert (ended["pid"], ended["exit_code"]) == (engine, -signal.SIGKILL)


def test_it_is_not_ready_while_no_engine_is_there(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    with process(tmp_path, PNEUMO_ENGINES="1") as service:
        (maker,), (engine,) = makers_of(service), engines_of(service)
        # It can make no other engine before it goes on.
        os.kill(maker, signal.SIGSTOP)
        os.kill(engine, signal.SIGKILL)
        eventually(lambda: get(service, "/health/ready").status_code == 503)
        live, status = get(service, "/health/live"), get(service, "/health").json()["status"]
        refused = post(service, flat(250))
        os.kill(maker, signal.SIGCONT)
        eventually(lambda: get(service, "/health/ready").status_code == 200)

    assert (live.status_code, status) == (200, "loading")
    assert problem(refused) == (503, "not-ready")


@pytest.mark.parametrize("everyone", [False, True], ids=["service", "everyone"])
def test_a_stop_answers_what_was_accepted_and_leaves_no_engine(
    tmp_path: Path,
    everyone: bool,  # noqa: FBT001 - what varies
) -> None:
    write_bundle(tmp_path, ballast=1000)

    with (
        process(tmp_path, PNEUMO_ENGINES=str(ENGINES)) as service,
        ThreadPoolExecutor(8) as clients,
    ):
        engines = engines_of(service)
        requests = [clients.submit(post, service, flat(250)) for _ in range(8)]
        eventually(lambda: in_flight(service) == 8)
        for pid in [service.popen.pid, *(engines if everyone else ())]:
            os.kill(pid, signal.SIGTERM)
        answers = [request.result() for request in requests]
        code = service.popen.wait(timeout=60)
        eventually(lambda: not any(map(alive, engines)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert code == 0


def test_workers_have_engines_of_their_own_and_end_with_them(tmp_path: Path) -> None:
    models, shelf = tmp_path / "models", tmp_path / "shelf"
    write_bundle(models, "tiny", 1)
    write_bundle(shelf, "tiny", 2)

    with process(models, workers=2, PNEUMO_ENGINES="1", PNEUMO_PROVIDER="cpu") as service:
        eventually(lambda: post(service, flat(250)).status_code == 200)
        all_of_them = descendants(service.popen.pid)
        makers = [pid for pid in all_of_them if "forkserver" in command(pid)]
        engines = [engine for maker in makers for engine in children(maker)]
        shutil.copytree(shelf / "tiny" / "2", models / "tiny" / "2")
        # The end comes while other engines are being started for the new version.
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: set(descendants(service.popen.pid)) != set(all_of_them))
        service.popen.send_signal(signal.SIGTERM)
        code = service.popen.wait(timeout=60)
        eventually(lambda: not any(map(alive, all_of_them)))

    assert len(engines) == 2
    assert code == 0


def test_engines_end_where_the_service_is_killed(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    with process(tmp_path, PNEUMO_ENGINES=str(ENGINES)) as service:
        engines = engines_of(service)
        service.popen.kill()
        eventually(lambda: not any(map(alive, engines)))

    assert len(engines) == ENGINES


def test_it_does_not_start_where_an_engine_cannot_load_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path)

    broken = planned(SINGLE_IMAGES, file=b"no graph")

    with serving(settings(tmp_path), broken, ready=False) as live:
        eventually(lambda: live.server.runtime.failure is not None)

    assert "model.onnx cannot be loaded" in str(live.server.runtime.failure)


def post(service: Process, file: bytes) -> httpx.Response:
    return httpx.post(
        f"{service.url}/predict", content=file, headers=JPEG, trust_env=False, timeout=60
    )


def get(service: Process, path: str) -> httpx.Response:
    return httpx.get(f"{service.url}{path}", trust_env=False, timeout=60)


def in_flight(service: Process) -> int:
    return int(get(service, "/health").json()["in_flight"])


def engines_of(service: Process) -> set[int]:
    return {engine for maker in makers_of(service) for engine in children(maker) if alive(engine)}


def makers_of(service: Process) -> list[int]:
    """The child of the service that makes the engines."""
    return [child for child in children(service.popen.pid) if "forkserver" in command(child)]


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(each for child in found for each in descendants(child))]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def children(pid: int) -> list[int]:
    try:
        lists = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for each in lists for child in each.split()]


def working(pid: int) -> bool:
    return state_of(pid) == "R"
