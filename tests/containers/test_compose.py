import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.manifest import read_manifest
from export.verify import answer
from tests.containers.compose import CPU, ROOT, Compose, docker, project
from tests.gateway.stack import eventually
from tests.synthetic import as_jpeg, synthetic_radiograph

pytestmark = pytest.mark.containers

GPU = ("docker-compose.yml",)
BUNDLE = max((ROOT / "models" / "xray-four-class").glob("[0-9]*"), key=lambda path: int(path.name))

MISSING_LIBRARIES = """
import pathlib, subprocess, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
folders = sorted({str(path.parent) for path in (site / "nvidia").rglob("*.so*")})
provider = site / "onnxruntime/capi/libonnxruntime_providers_cuda.so"
listing = subprocess.run(["ldd", provider], env={"LD_LIBRARY_PATH": ":".join(folders)},
                         capture_output=True, text=True, check=True).stdout
print(*sorted({line.split()[0] for line in listing.splitlines() if "not found" in line}))
"""


@pytest.fixture(scope="module")
def gpu_image() -> str:
    with project(*GPU) as compose:
        compose("build")
    return "pneumoscope:gpu"


@pytest.fixture(scope="module")
def radiograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("radiographs") / "chest.jpg"
    file.write_bytes(as_jpeg(synthetic_radiograph(rows=900, columns=1100)))
    return file


@pytest.fixture(scope="module")
def serving_on_gpu_compose_file(gpu_image: str) -> Iterator[Compose]:
    # The real compose file. There is no GPU here, so the one setting that may differ does.
    with project(*GPU, PNEUMO_PROVIDER="auto", PNEUMO_PRECISION="fp32") as compose:
        compose("up", "--detach", "--wait", "--wait-timeout", "120")
        yield compose


@pytest.fixture(scope="module")
def serving_on_cpu_compose_files(cpu_image: str) -> Iterator[Compose]:
    with project(*CPU, PNEUMO_PRECISION="fp32") as compose:
        compose("up", "--detach", "--wait", "--wait-timeout", "120")
        yield compose


def post(compose: Compose, radiograph: Path) -> Any:
    files = {"file": (radiograph.name, radiograph.read_bytes(), "image/jpeg")}
    response = httpx.post(f"{compose.url}/predict", files=files, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def assert_answers_as_the_bundle_does(compose: Compose, radiograph: Path) -> None:
    [expected] = answer(BUNDLE, [radiograph])
    result = post(compose, radiograph)["results"][0]

    found = {finding["label"]: finding["probability"] for finding in result["findings"]}
    assert found == pytest.approx(expected.probabilities, abs=1e-4)
    assert result["decision"] == (expected.decision.label or "refer")


def test_the_compose_file_answers_a_posted_radiograph(
    serving_on_gpu_compose_file: Compose, radiograph: Path
) -> None:
    assert_answers_as_the_bundle_does(serving_on_gpu_compose_file, radiograph)


def test_the_cpu_override_answers_a_posted_radiograph(
    serving_on_cpu_compose_files: Compose, radiograph: Path
) -> None:
    assert_answers_as_the_bundle_does(serving_on_cpu_compose_files, radiograph)

    health = httpx.get(f"{serving_on_cpu_compose_files.url}/health").json()
    assert health["execution_provider"] == "CPUExecutionProvider"


def test_without_a_gpu_the_compose_file_as_it_stands_refuses_to_serve(gpu_image: str) -> None:
    with project(*GPU) as compose:
        compose("up", "--detach")
        eventually(lambda: "libcuda.so.1" in compose("logs").stdout)
        logs = compose("logs").stdout

    assert "Traceback" not in logs


def test_the_image_says_what_it_is_and_what_it_is_not_for(cpu_image: str) -> None:
    [facts] = json.loads(docker("inspect", cpu_image))
    name = "org.opencontainers.image."
    labels = {each.removeprefix(name): text for each, text in facts["Config"]["Labels"].items()}

    assert labels["title"] == "Pneumoscope"
    assert "Research only. Not for diagnosis." in labels["description"]
    assert labels["licenses"] == "Apache-2.0"


def test_the_one_library_that_the_cuda_provider_lacks_is_the_driver(gpu_image: str) -> None:
    missing = docker("run", "--rm", "--entrypoint", "python", gpu_image, "-c", MISSING_LIBRARIES)

    assert missing.split() == ["libcuda.so.1"]


@pytest.mark.parametrize("image", ["gpu_image", "cpu_image"])
def test_the_image_holds_nothing_but_what_serves(
    image: str, request: pytest.FixtureRequest
) -> None:
    name = request.getfixturevalue(image)
    script = (
        "import importlib.metadata as m, os; print(*(d.name.lower() for d in m.distributions())); "
        "print(*os.listdir('/app'))"
    )
    listed = docker("run", "--rm", "--entrypoint", "python", name, "-c", script)
    packages, folders = (set(line.split()) for line in listed.splitlines())
    tools = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "sh", name, "-c", "command -v gcc make pip git"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert not packages & {"tensorflow", "keras", "tf2onnx", "onnx", "pip", "pytest"}
    assert len(packages & {"onnxruntime", "onnxruntime-gpu"}) == 1
    assert folders == {"contract", "service", "models"}
    assert tools.stdout == ""


def test_the_container_runs_unprivileged_on_a_read_only_root(
    serving_on_cpu_compose_files: Compose,
) -> None:
    compose = serving_on_cpu_compose_files
    script = "id -u; touch /app/x 2>/dev/null && echo writable; cat /proc/1/status"
    output = compose("exec", "pneumoscope", "sh", "-c", script).stdout
    host = compose.container()["HostConfig"]

    assert output.splitlines()[0] == "10001"
    assert "writable" not in output
    assert re.search(r"CapEff:\s+0{16}", output)
    # 2: every system call passes a filter, the engine's own.
    assert re.search(r"Seccomp:\s+2\b", output)
    assert isinstance(host, dict)
    assert host["ReadonlyRootfs"] is True
    assert host["Memory"] == 2 * 1024**3
    assert host["PortBindings"]["8000/tcp"][0]["HostIp"] == "127.0.0.1"


def test_the_compose_file_reserves_one_gpu() -> None:
    with project(*GPU) as compose:
        config = json.loads(compose("config", "--format", "json").stdout)

    [device] = config["services"]["pneumoscope"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]


def test_settings_of_the_environment_reach_the_service(cpu_image: str, radiograph: Path) -> None:
    with project(*CPU, PNEUMO_MAX_PIXELS="1000") as compose:
        compose("up", "--detach", "--wait", "--wait-timeout", "120")
        response = httpx.post(f"{compose.url}/predict", content=radiograph.read_bytes())

    assert response.status_code == 413


def test_an_image_alone_asks_for_keys_or_the_word_of_the_operator(cpu_image: str) -> None:
    command = ["docker", "run", "--rm", cpu_image]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "PNEUMO_INSECURE=1" in json.loads(ended.stdout)["reason"]


def test_a_name_that_is_not_of_this_machine_is_refused(
    serving_on_cpu_compose_files: Compose,
) -> None:
    url = f"{serving_on_cpu_compose_files.url}/models"

    statuses = [
        httpx.get(url, headers={"Host": host}).status_code
        for host in ("localhost", "pneumoscope:8000", "evil.example")
    ]

    assert statuses == [200, 200, 421]


def test_stopping_lets_the_service_end_by_itself(cpu_image: str) -> None:
    with project(*CPU, PNEUMO_PRECISION="fp32") as compose:
        compose("up", "--detach", "--wait", "--wait-timeout", "120")
        compose("stop", "--timeout", "30")
        state = compose.container()["State"]

    assert isinstance(state, dict)
    assert state["ExitCode"] == 0


def test_the_embedded_model_is_in_the_image(cpu_image: str) -> None:
    path = f"/app/models/{BUNDLE.parent.name}/{BUNDLE.name}/model.onnx"
    digest = docker("run", "--rm", "--entrypoint", "sha256sum", cpu_image, path).split()[0]

    assert f"sha256:{digest}" == read_manifest(BUNDLE).digest
