"""The service under Ray Serve, started as an operator starts it."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
import yaml
from ray import serve
from ray.serve.schema import ServeDeploySchema

from cluster.serving import Pneumoscope
from service.settings import read_settings
from tests.synthetic import as_jpeg, synthetic_radiograph

ROOT = Path(__file__).parents[2]
FILM = as_jpeg(synthetic_radiograph(rows=700, columns=800))
CONFIGURATION = yaml.safe_load((ROOT / "cluster" / "serve.yaml").read_text())


DEPLOYED: Any = Pneumoscope
KUBERAY = yaml.safe_load((ROOT / "deploy/kubernetes/ray/rayservice.yaml").read_text())


@pytest.mark.parametrize(
    "configuration", [CONFIGURATION, yaml.safe_load(KUBERAY["spec"]["serveConfigV2"])]
)
def test_the_configurations_are_what_ray_takes_and_ask_for_keys_where_others_reach_them(
    configuration: dict[str, Any],
) -> None:
    schema = ServeDeploySchema.model_validate(configuration)
    [application] = schema.applications
    assert application.import_path == "cluster.serving:app"
    [deployment] = application.deployments
    assert deployment.name == DEPLOYED.name
    variables = application.runtime_env["env_vars"]
    exposed = schema.http_options.host != "127.0.0.1"
    assert ("PNEUMO_API_KEYS_FILE" in variables) == exposed
    assert ("PNEUMO_INSECURE" in variables) != exposed


def test_ray_hands_a_replica_no_more_than_the_smallest_queue_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.settings.available_cpus", lambda: 1)
    assert DEPLOYED.max_ongoing_requests <= read_settings().queue_limit


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The application of serve.yaml, with two replicas, on this machine."""
    ray.init(num_cpus=4, log_to_driver=False, include_dashboard=False)
    [application] = CONFIGURATION["applications"]
    [deployment] = application["deployments"]
    environment = application["runtime_env"]["env_vars"] | {"PNEUMO_DECODERS": "1"}
    options = deployment["ray_actor_options"] | {
        "runtime_env": {"env_vars": environment, "working_dir": None}
    }
    options["runtime_env"].pop("working_dir")
    served = DEPLOYED.options(
        num_replicas=2, autoscaling_config=None, ray_actor_options=options
    ).bind()
    serve.start(http_options={"host": "127.0.0.1", "port": 8123})
    serve.run(served, name=application["name"], route_prefix=application["route_prefix"])
    address = "http://127.0.0.1:8123"
    end = time.monotonic() + 120
    while httpx.get(f"{address}/health/ready", timeout=30).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.2)
    yield address
    serve.shutdown()
    ray.shutdown()


def test_an_image_is_answered_as_the_service_answers_it(url: str) -> None:
    answer = httpx.post(f"{url}/predict", files={"file": ("a.jpg", FILM, "image/jpeg")}, timeout=60)
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    assert result["status"] == "ok"
    assert "Not for diagnosis" in answer.json()["model"]["intended_use"]


@pytest.mark.parametrize(
    ("body", "status", "slug"), [(b"no image", 422, "not-an-image"), (b"", 400, None)]
)
def test_problems_come_through_as_they_are(
    url: str, body: bytes, status: int, slug: str | None
) -> None:
    headers = {"content-type": "image/jpeg"}
    answer = httpx.post(f"{url}/predict/image", content=body, headers=headers, timeout=60)
    assert answer.status_code in (status, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    if slug is not None:
        assert answer.json()["type"] == f"/problems/{slug}"


def _replicas() -> set[int]:
    found = subprocess.run(
        ["pgrep", "-f", "ray::ServeReplica:pneumoscope"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {int(pid) for pid in found.stdout.split()}


def test_a_replica_that_is_killed_is_replaced_and_every_answer_is_whole(url: str) -> None:
    before = _replicas()
    assert len(before) == 2

    async def client(http: httpx.AsyncClient, end: float) -> list[int]:
        statuses = []
        while time.monotonic() < end:
            try:
                answer = await http.post(
                    f"{url}/predict", content=FILM, headers={"content-type": "image/jpeg"}
                )
            except httpx.TransportError:
                statuses.append(0)
                continue
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                [result] = answer.json()["results"]
                assert len(result["findings"]) >= 2
        return statuses

    async def scenario() -> list[int]:
        async with httpx.AsyncClient(timeout=60) as http:
            end = time.monotonic() + 15
            clients = [asyncio.create_task(client(http, end)) for _ in range(4)]
            await asyncio.sleep(2)
            os.kill(min(before), signal.SIGKILL)
            return [status for each in await asyncio.gather(*clients) for status in each]

    statuses = asyncio.run(scenario())
    assert statuses.count(200) > len(statuses) * 0.9
    end = time.monotonic() + 90
    while len(_replicas()) < 2 or min(before) in _replicas():
        assert time.monotonic() < end
        time.sleep(0.5)
