"""Models that come, change and go while the service runs."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from weakref import ref

import numpy as np
import pytest

from contract.golden import Golden, golden_bytes
from contract.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, read_manifest, sha256_digest
from service.repository import ModelRepository
from service.runtime import OpenModels, open_repository
from service.settings import Settings
from tests.bundles import (
    SIZE,
    add_variant,
    describe,
    write_bundle,
    write_segmenter_bundle,
)
from tests.integration.live import (
    Live,
    eventually,
    key_of,
    log_of,
    problem,
    process,
    serving,
    serving_models,
)
from tests.sessions import FakeSession, served

ADMIN, READER = "admin-key-0123456789", "reader-key-0123456789"
HEADERS = {"Authorization": f"Bearer {ADMIN}"}


@contextmanager
def administered(
    models: Path, open_models: OpenModels = open_repository, **settings: object
) -> Iterator[Live]:
    """A service of which the test is the administrator."""
    file = write_keys(models)
    read = Settings.model_validate(
        {"models_dir": models, "port": 0, "api_keys_file": file} | settings
    )
    with serving(read, open_models) as live:
        live.client.headers.update(HEADERS)
        yield live


def write_keys(models: Path, *holders: str) -> Path:
    """Write the key file of a service: an administrator's key and a reader's, or some of them."""
    keys = {"admin": (ADMIN, ["predict", "read", "admin"]), "reader": (READER, ["predict", "read"])}
    held = {name: key_of(*keys[name]) for name in holders or keys}
    file = models.parent / "keys.json"
    file.write_text(json.dumps(held))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    write_bundle(models, "tiny", 1)
    return models


def served_by(live: Live) -> ModelRepository:
    repository: ModelRepository = live.server.runtime.predictor().repository
    return repository


def listed(live: Live) -> list[str]:
    models = live.client.get("/models").json()["models"]
    return [f"{model['name']}/{model['version']}" for model in models]


def reload(live: Live) -> dict[str, list[object]]:
    response = live.client.post("/models/reload")
    assert response.status_code == 200
    changes: dict[str, list[object]] = response.json()
    return changes


def write_golden(bundle: Path, pneumonia: float) -> None:
    """Say that the bundle's graph answered so for a white image."""
    images = np.full((1, SIZE, SIZE, 1), 255, np.uint8)
    answers = np.array([[1 - pneumonia, pneumonia]], np.float32)
    content = golden_bytes(Golden(images, {"fp32": answers}))
    (bundle / GOLDEN_FILE).write_bytes(content)
    describe(bundle, golden_digest=sha256_digest(content))


def test_the_service_follows_its_folder(folder: Path, radiograph: bytes) -> None:
    write_bundle(folder, "unwanted", 1)

    with administered(folder) as live:
        session = served_by(live).get("tiny", 1).session
        write_golden(write_bundle(folder, "tiny", 2), pneumonia=1.0)
        shutil.rmtree(folder / "unwanted")
        changes = reload(live)
        answered = live.predict(radiograph).json()["model"]["version"]
        again = reload(live)
        after = listed(live), live.client.get("/metrics").text.count("pneumoscope_model_info{")
        kept = served_by(live).get("tiny", 1).session

    assert changes == {
        "default": "tiny", "loaded": ["tiny/2"], "unloaded": ["unwanted/1"], "refused": [],
    }  # fmt: skip
    assert answered == 2
    assert again["loaded"] == again["unloaded"] == []
    assert after == (["tiny/1", "tiny/2"], 2)
    assert kept is session


def test_a_request_ends_on_the_model_that_it_began_with_whose_memory_goes_then(
    folder: Path, radiograph: bytes
) -> None:
    gated = FakeSession()
    session, go, first = ref(gated), gated.go, ModelRepository([served(gated)])
    held, old = [first], first.get().digest
    del gated, first

    with (
        administered(folder, lambda _: held.pop()) as live,
        ThreadPoolExecutor(1) as clients,
    ):
        begun = clients.submit(live.predict, radiograph)
        eventually(lambda: live.in_flight() == 1)
        changes = reload(live)
        overtaking = live.predict(radiograph).json()["model"]["digest"]
        still_running = not begun.done() and session() is not None
        go.set()
        answered = begun.result().json()["model"]["digest"]
        eventually(lambda: session() is None)

    assert changes["loaded"] == ["tiny/1"]
    assert still_running
    assert overtaking == read_manifest(folder / "tiny" / "1").digest
    assert answered == old


def test_requests_are_answered_while_a_model_loads(folder: Path, radiograph: bytes) -> None:
    with administered(folder) as live, ThreadPoolExecutor(1) as admin:
        write_bundle(folder, "tiny", 2, ballast=100)
        loading = admin.submit(reload, live)
        versions = []
        while not loading.done():
            versions.append(live.predict(radiograph).json()["model"]["version"])
        after = live.predict(radiograph).json()["model"]["version"]

    assert len(versions) > 3
    assert set(versions[:-1]) == {1}
    assert after == 2


def with_half_of_its_model(bundle: Path) -> None:
    model = (bundle / MODEL_FILE).read_bytes()
    (bundle / MODEL_FILE).write_bytes(model[: len(model) // 2])


def without_its_golden_answers(bundle: Path) -> None:
    write_golden(bundle, pneumonia=1.0)
    (bundle / GOLDEN_FILE).unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda bundle: (bundle / MODEL_FILE).unlink(), "has no model.onnx"),
        (with_half_of_its_model, "only partly copied"),
        (without_its_golden_answers, "has no golden.npz"),
        (lambda bundle: write_golden(bundle, 0.9), "does not compute what was measured"),
        (lambda bundle: describe(bundle, name="other"), "Rename the folder"),
    ],
)
def test_a_bundle_that_fails_a_check_changes_nothing_and_is_told(
    folder: Path,
    radiograph: bytes,
    spoil: Callable[[Path], object],
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with administered(folder) as live:
        spoil(write_bundle(folder, "tiny", 2))
        write_bundle(folder, "tiny", 3)
        changes = reload(live)
        one = live.client.post("/models/tiny/versions/2/load")
        answered = live.predict(radiograph).json()["model"]["version"]
        metrics = live.client.get("/metrics").text
    told = log_of(capfd, "bundle refused")

    (refused,) = changes["refused"]
    assert isinstance(refused, dict)
    assert refused["bundle"] == "tiny/2"
    assert reason in refused["reason"]
    assert changes["loaded"] == ["tiny/3"]
    assert problem(one) == (409, "reload-refused")
    assert answered == 3
    assert 'pneumoscope_model_changes_total{change="refused"} 2.0' in metrics
    assert "pneumoscope_bundles_refused 1.0" in metrics
    assert [event["bundle"] for event in told] == ["tiny/2"] * 2


def test_a_served_bundle_whose_files_were_damaged_is_told_and_served_from_memory(
    folder: Path, radiograph: bytes
) -> None:
    write_golden(folder / "tiny" / "1", pneumonia=1.0)

    with administered(folder) as live:
        golden = (folder / "tiny" / "1" / GOLDEN_FILE).read_bytes()
        (folder / "tiny" / "1" / GOLDEN_FILE).write_bytes(golden[:-1])
        other = reload(live)
        (folder / "tiny" / "1" / GOLDEN_FILE).write_bytes(golden)
        with_half_of_its_model(folder / "tiny" / "1")
        damaged = reload(live)
        (folder / "tiny" / "1" / MODEL_FILE).unlink()
        gone = reload(live)
        answered = live.predict(radiograph)

    reasons = [str(done["refused"]) for done in (other, damaged, gone)]
    assert "golden.npz" in reasons[0]
    assert "only partly copied" in reasons[1]
    assert "has no model.onnx" in reasons[2]
    assert answered.status_code == 200


def test_a_model_that_lacks_the_wanted_precision_is_named_when_it_is_loaded(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with administered(folder, precision="int8") as live:
        write_bundle(folder, "tiny", 2)
        add_variant(write_bundle(folder, "tiny", 3), "int8")
        reload(live)
        reload(live)

    told = log_of(capfd, "precision not there")
    assert [event["served_in_fp32"] for event in told] == [["tiny/1"], ["tiny/2"]]


def test_a_version_is_unloaded_and_loaded_by_name(folder: Path, radiograph: bytes) -> None:
    write_bundle(folder, "tiny", 2)

    with administered(folder) as live:
        unloaded = live.client.post("/models/tiny/versions/2/unload").json()
        before = live.predict(radiograph).json()["model"]["version"]
        stays_so = reload(live)
        loaded = live.client.post("/models/tiny/versions/2/load").json()
        after = live.predict(radiograph).json()["model"]["version"]
        unknown = [
            problem(live.client.post(f"/models/{path}"))
            for path in ("tiny/versions/9/load", "tiny/versions/9/unload", "x/versions/1/load")
        ]

    assert (unloaded["unloaded"], before) == (["tiny/2"], 1)
    assert stays_so["loaded"] == []
    assert (loaded["loaded"], after) == (["tiny/2"], 2)
    assert unknown == [(404, "unknown-model")] * 3


def test_a_model_that_comes_later_does_not_become_the_default(
    folder: Path, radiograph: bytes
) -> None:
    with administered(folder) as live:
        write_bundle(folder, "sooner-in-name-order", 1)
        changes = reload(live)
        answered = live.predict(radiograph).json()["model"]["name"]

    assert changes["default"] == answered == "tiny"


def test_the_last_version_of_the_default_model_stays(folder: Path, radiograph: bytes) -> None:
    write_bundle(folder, "tiny-ct", 1, modalities=("CT",))

    with administered(folder) as live:
        refused = live.client.post("/models/tiny/versions/1/unload")
        shutil.rmtree(folder / "tiny")
        removed = reload(live)
        shutil.rmtree(folder)
        nothing_left = reload(live)
        answered = live.predict(radiograph)
        still = listed(live)

    assert problem(refused) == (409, "reload-refused")
    assert removed["refused"] == [
        {"bundle": "tiny/1", "reason": "The default model cannot be unloaded."}
    ]
    assert nothing_left["refused"] == [
        {"bundle": "*", "reason": "There is no bundle in the models folder."}
    ]
    assert answered.status_code == 200
    assert still == ["tiny/1", "tiny-ct/1"]


def test_the_segmenter_comes_changes_and_goes_like_a_model(folder: Path) -> None:
    with administered(folder) as live:
        bundle = write_segmenter_bundle(folder, "lungs", 1)
        came = reload(live)["loaded"]
        segmenter = served_by(live).segmenter
        with_half_of_its_model(write_segmenter_bundle(folder, "lungs", 2))
        refused = reload(live)["refused"]
        kept = served_by(live).segmenter
        shutil.rmtree(bundle.parent)
        went = reload(live)["unloaded"]
        nothing = served_by(live).segmenter

    assert came == went == ["lungs/1"]
    assert segmenter is not None
    assert kept is segmenter
    assert len(refused) == 1
    assert "lungs/2" in str(refused)
    assert nothing is None


def test_only_an_admin_changes_models_and_without_keys_nobody_is(folder: Path) -> None:
    with administered(folder) as live:
        reader = {"Authorization": f"Bearer {READER}"}
        without_the_scope = live.client.post("/models/reload", headers=reader)
    with serving_models(folder) as live:
        without_keys = live.client.post("/models/reload")

    assert problem(without_the_scope) == problem(without_keys) == (403, "forbidden")
    assert "PNEUMO_API_KEYS_FILE" in without_keys.json()["detail"]


def test_polling_takes_a_bundle_once_it_is_whole_and_tells_of_it_once(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving_models(folder, models_poll_s=0.02) as live:
        bundle = write_bundle(folder.parent / "elsewhere", "tiny", 2)
        target = folder / "tiny" / "2"
        target.mkdir()
        shutil.copy(bundle / MANIFEST_FILE, target)
        attempts = 'pneumoscope_model_changes_total{change="refused"} '
        eventually(lambda: f"{attempts}5.0" in live.client.get("/metrics").text)
        shutil.copy(bundle / MODEL_FILE, target)
        eventually(lambda: listed(live) == ["tiny/1", "tiny/2"])
    log = [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    told = [event["bundle"] for event in log if event["event"] == "bundle refused"]
    assert told == ["tiny/2"]
    assert [event["loaded"] for event in log if event["event"] == "reload"] == [["tiny/2"]]


def test_polling_goes_on_after_an_unforeseen_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    faults = [RuntimeError("can't start new thread")]

    def fails_once(*_: object) -> None:
        if faults:
            raise faults.pop()

    with serving_models(folder, models_poll_s=0.02) as live:
        monkeypatch.setattr(live.server.runtime.metrics, "reload", fails_once)
        eventually(lambda: not faults)
        write_bundle(folder, "tiny", 2)
        eventually(lambda: listed(live) == ["tiny/1", "tiny/2"])

    (failed,) = log_of(capfd, "reload failed")
    assert failed["error"] == "RuntimeError"


def test_a_hang_up_signal_reloads_models_and_keys(folder: Path) -> None:
    reader = {"Authorization": f"Bearer {READER}"}

    with process(folder, PNEUMO_API_KEYS_FILE=str(write_keys(folder))) as service:
        write_bundle(folder, "tiny", 2)
        write_keys(folder, "reader")
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("reload")) == 1)
        models = service.get("/models", headers=reader).json()["models"]
        removed = service.get("/models", headers=HEADERS)
        (folder.parent / "keys.json").write_text("no keys")
        service.popen.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("reload")) == 2)
        kept = service.get("/models", headers=reader)
        service.popen.send_signal(signal.SIGTERM)
        exit_code = service.popen.wait(timeout=60)

    assert [model["version"] for model in models] == [1, 2]
    assert problem(removed) == (401, "unauthenticated")
    assert service.events("reload")[0]["cause"] == "signal"
    assert kept.status_code == 200
    assert len(service.events("keys not reloaded")) == 1
    assert exit_code == 0
