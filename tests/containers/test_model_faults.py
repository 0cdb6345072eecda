"""A model whose files are damaged, while a real container serves it and when it starts again."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import onnx
import pytest

from contract.manifest import MANIFEST_FILE, MODEL_FILE, sha256_digest
from tests.containers.compose import CPU, ROOT, Compose, docker, project
from tests.containers.test_faults import ask, load
from tests.containers.test_operations import RADIOGRAPH
from tests.gateway.stack import eventually

pytestmark = [pytest.mark.containers, pytest.mark.slow]

[SHIPPED] = (ROOT / "models" / "xray-four-class").glob("[0-9]*")
[OTHER] = (ROOT / "models" / "xray-infection").glob("[0-9]*")


def corrupt(model: bytes) -> bytes:
    middle = len(model) // 2
    return model[:middle] + bytes([model[middle] ^ 0xFF]) + model[middle + 1 :]


def truncated(model: bytes) -> bytes:
    return model[: len(model) // 2]


def replaced(model: bytes) -> bytes:
    other = (OTHER / MODEL_FILE).read_bytes()
    assert other != model
    return other


def with_external_data(model: bytes) -> bytes:
    graph = onnx.load_from_string(model)
    onnx.external_data_helper.convert_model_to_external_data(graph, size_threshold=0)
    for tensor in graph.graph.initializer:
        tensor.ClearField("raw_data")
    return bytes(graph.SerializeToString())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("mounted") / "models"
    return Path(shutil.copytree(SHIPPED, models / "xray-four-class" / SHIPPED.name))


@pytest.fixture(scope="module")
def serving(cpu_image: str, bundle: Path) -> Iterator[Compose]:
    models = bundle.parents[1]
    mount = models.parent / "mount.yml"
    service = {"volumes": [f"{models}:/models:ro"]}
    mount.write_text(json.dumps({"services": {"pneumoscope": service}}))
    with project(*CPU, str(mount), PNEUMO_MODELS_DIR="/models") as compose:
        compose("up", "--detach", "--wait")
        yield compose


def put(bundle: Path, model: bytes, *, named: bool) -> None:
    """Write a model, and where the manifest shall name it, its digest there."""
    if named:
        manifest = json.loads((SHIPPED / MANIFEST_FILE).read_text())
        digest = {"digest": sha256_digest(model)}
        (bundle / MANIFEST_FILE).write_text(json.dumps(manifest | digest))
    (bundle / MODEL_FILE).write_bytes(model)


def lines(compose: Compose, event: str) -> list[str]:
    logs = compose("logs", "--no-log-prefix").stdout.splitlines()
    return [line for line in logs if f'"event":"{event}"' in line]


@pytest.mark.parametrize(
    ("damage", "named"),
    [(corrupt, False), (truncated, False), (replaced, True), (with_external_data, True)],
)
def test_a_damaged_model_is_never_served_and_a_mended_one_is_at_the_next_start(
    serving: Compose,
    bundle: Path,
    told: Callable[[str], None],
    damage: Callable[[bytes], bytes],
    *,
    named: bool,
) -> None:
    container = str(serving.container()["Id"])
    # By the manifest nothing has changed where that still names what was there before.
    seen = "bundle refused" if named else "reload"
    looked, stopped = (len(lines(serving, event)) for event in (seen, "cannot start"))
    expected = ask(serving, RADIOGRAPH)
    try:
        with load(serving) as answers:
            put(bundle, damage((SHIPPED / MODEL_FILE).read_bytes()), named=named)
            docker("kill", "--signal", "HUP", container)
            eventually(lambda: len(lines(serving, seen)) > looked)
            before = answers.statuses()[200]
            eventually(lambda: answers.statuses()[200] > before + 20)
        assert set(answers.statuses()) == {200}
        docker("restart", "--time", "40", container)
        eventually(lambda: len(lines(serving, "cannot start")) > stopped)
        with pytest.raises(httpx.TransportError):
            ask(serving, RADIOGRAPH)
    finally:
        put(bundle, (SHIPPED / MODEL_FILE).read_bytes(), named=True)
    at = time.monotonic()
    eventually(lambda: answers_again(serving))
    told(f"model {damage.__name__}: mended, answers after {time.monotonic() - at:.1f} s")
    assert ask(serving, RADIOGRAPH) == expected


def answers_again(compose: Compose) -> bool:
    try:
        return bool(ask(compose, RADIOGRAPH))
    except httpx.HTTPError:
        return False
