import json
import os
import subprocess

import httpx
import pytest

from tests.containers.compose import ROOT, docker, project
from tests.gateway.stack import eventually, free_port

pytestmark = pytest.mark.containers

FILES = ("docker-compose.yml", "docker-compose.cpu.yml", "docker-compose.gateway.yml")


def test_the_lines_of_the_readme_bring_a_film_to_a_report_in_the_archive() -> None:
    readme = (ROOT / "README.md").read_text()
    lines = readme.partition("## Connect a PACS")[2].partition("```sh\n")[2].partition("```")[0]
    ports = {
        f"PNEUMO_{name}": str(free_port())
        for name in ("GATEWAY_DICOM_PORT", "GATEWAY_HTTP_PORT", "ORTHANC_PORT")
    }
    # Another gateway may run on this machine.
    script = lines.replace("11112", ports["PNEUMO_GATEWAY_DICOM_PORT"])
    archive = f"http://127.0.0.1:{ports['PNEUMO_ORTHANC_PORT']}"
    with project(*FILES, COMPOSE_PROFILES="gateway", **ports) as compose:
        compose("build")
        environment = {"COMPOSE_PROJECT_NAME": compose.name, **compose.environment}
        subprocess.run(["bash", "-euc", script], cwd=ROOT, env=os.environ | environment, check=True)

        eventually(lambda: httpx.get(f"{archive}/instances", trust_env=False).json())
        series = httpx.get(f"{archive}/dicom-web/series", trust_env=False).json()
        facts = [
            json.loads(docker("inspect", name))[0]["Config"]["User"]
            for name in compose("ps", "--quiet", "gateway", "orthanc").stdout.split()
        ]

    assert [each["00080060"]["Value"] for each in series] == [["SR"]]
    # Neither runs as root.
    assert sorted(facts) == ["10002", "orthanc"]
