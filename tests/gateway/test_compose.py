import json
from pathlib import Path

import httpx
import pytest

from tests.containers.compose import docker, project
from tests.gateway.drawn import film
from tests.gateway.stack import dcmsend, eventually, free_port

pytestmark = pytest.mark.containers

FILES = ("docker-compose.yml", "docker-compose.cpu.yml", "docker-compose.gateway.yml")


def test_the_profile_brings_a_film_to_a_report_in_the_archive(tmp_path: Path) -> None:
    ports = {
        f"PNEUMO_{name}": str(free_port())
        for name in ("GATEWAY_DICOM_PORT", "GATEWAY_HTTP_PORT", "ORTHANC_PORT")
    }
    file = tmp_path / "film.dcm"
    file.write_bytes(film(1))
    archive = f"http://127.0.0.1:{ports['PNEUMO_ORTHANC_PORT']}"
    with project(*FILES, COMPOSE_PROFILES="gateway", **ports) as compose:
        compose("build")
        compose("up", "--detach", "--wait", "--wait-timeout", "240")

        ended = dcmsend(int(ports["PNEUMO_GATEWAY_DICOM_PORT"]), file)
        eventually(lambda: httpx.get(f"{archive}/instances", trust_env=False).json())
        studies = httpx.get(f"{archive}/dicom-web/series", trust_env=False).json()
        facts = [
            json.loads(docker("inspect", name))[0]["Config"]["User"]
            for name in compose("ps", "--quiet", "gateway", "orthanc").stdout.split()
        ]

    assert ended.returncode == 0, ended.stderr
    assert [series["00080060"]["Value"] for series in studies] == [["SR"]]
    # Neither runs as root.
    assert sorted(facts) == ["10002", "orthanc"]
