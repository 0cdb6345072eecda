"""The image for Ray, run with what KubeRay would deploy, as its pods are allowed to run."""

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.containers.compose import ROOT, docker
from tests.containers.test_operations import TMP, read_one
from tests.gateway.stack import free_port
from tests.integration.live import key_of

pytestmark = [pytest.mark.containers, pytest.mark.slow]

KUBERAY = yaml.safe_load((ROOT / "deploy/kubernetes/ray/rayservice.yaml").read_text())


@pytest.fixture(scope="module")
def ray_image() -> str:
    base = os.environ.get("BASE_IMAGE")
    arguments = ["--build-arg", "REQUIREMENTS=requirements/cluster.txt"]
    arguments += ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    which = ["--file", "Dockerfile.gpu", "--target", "ray", "--tag", "pneumoscope-ray"]
    docker("build", "--quiet", *which, *arguments, ".")
    return "pneumoscope-ray"


def test_the_service_answers_from_the_image_that_kuberay_runs(
    ray_image: str, tmp_path: Path
) -> None:
    key = os.urandom(32).hex()
    # Another user reads it, who may not enter the folder around it.
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "keys.json").write_text(json.dumps({"caller": key_of(key, ["predict", "read"])}))
    (secrets / "serve.yaml").write_text(KUBERAY["spec"]["serveConfigV2"])
    mounted = f"{secrets}:/run/secrets/pneumoscope:ro"
    port = free_port()
    limits = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    places = [f"--tmpfs={TMP}", "--shm-size", "1g", "--volume", mounted]
    where = ["--publish", f"127.0.0.1:{port}:8000", "--memory", "4g"]
    told = "ray start --head --num-cpus 2 && serve run /run/secrets/pneumoscope/serve.yaml"
    run = ["run", "--detach", "--init", *limits, *places, *where, ray_image]
    container = docker(*run, "bash", "-c", told).strip()
    try:
        read_one(f"http://127.0.0.1:{port}", key)
    finally:
        docker("rm", "--force", container)
