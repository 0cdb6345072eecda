"""The proxy, the monitoring, and the ways to run the image without compose files of our own."""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.containers.compose import ALL, ROOT, Compose, docker, project
from tests.gateway.stack import answers, eventually, free_port
from tests.integration.live import key_of
from tests.synthetic import as_jpeg, synthetic_radiograph

pytestmark = pytest.mark.containers

TMP = "/tmp"  # noqa: S108 - of the container
JPEG = {"Content-Type": "image/jpeg"}
RADIOGRAPH = as_jpeg(synthetic_radiograph(rows=900, columns=1100))


@pytest.fixture(scope="module")
def proxy(cpu_image: str, secrets: dict[str, str]) -> Iterator[tuple[Compose, httpx.Client]]:
    port = free_port()
    with project(*ALL, PNEUMO_HTTPS_PORT=str(port), **secrets) as compose:
        compose("--profile", "proxy", "up", "--detach", "--build", "--wait", "pneumoscope", "proxy")
        trusted = ssl.create_default_context(cafile=secrets["PNEUMO_TLS_CERTIFICATE"])
        address = f"https://localhost:{port}"
        with httpx.Client(base_url=address, verify=trusted, timeout=60) as client:
            yield compose, client


def test_an_image_is_read_through_the_proxy(proxy: tuple[Compose, httpx.Client]) -> None:
    _, client = proxy
    answer = client.post("/predict", files={"file": ("a.jpg", RADIOGRAPH, "image/jpeg")})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["status"] == "ok"
    assert answer.headers["strict-transport-security"]


def test_an_upload_of_60_mb_reaches_the_service_which_says_what_is_wrong_with_it(
    proxy: tuple[Compose, httpx.Client],
) -> None:
    _, client = proxy
    files = {"file": ("a.jpg", RADIOGRAPH + bytes(60_000_000 - len(RADIOGRAPH)), "image/jpeg")}
    answer = client.post("/predict", files=files)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"no image", 422, "not-an-image"),
        (RADIOGRAPH[:2000], 422, "corrupt-image"),
        (bytes(70_000_000), 413, "body-too-large"),
    ],
)
def test_a_problem_document_passes_the_proxy(
    proxy: tuple[Compose, httpx.Client], body: bytes, status: int, slug: str
) -> None:
    _, client = proxy
    answer = client.post("/predict", files={"file": ("a.jpg", body, "image/jpeg")})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"


def test_the_proxy_speaks_no_old_tls(proxy: tuple[Compose, httpx.Client]) -> None:
    _, client = proxy
    target = f"localhost:{client.base_url.port}"
    for version, spoken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        command = ["openssl", "s_client", "-connect", target, version]
        ended = subprocess.run(command, input=b"", capture_output=True, check=False)
        assert (b"Cipher is (NONE)" not in ended.stdout) == spoken, version


def test_prometheus_scrapes_the_service_and_knows_the_alerts(
    cpu_image: str, secrets: dict[str, str]
) -> None:
    port = free_port()
    with project(*ALL, PNEUMO_PROMETHEUS_PORT=str(port), **secrets) as compose:
        start = ["up", "--detach", "--build", "--wait", "pneumoscope", "prometheus"]
        compose("--profile", "monitoring", *start)
        address = f"http://127.0.0.1:{port}/api/v1"
        eventually(lambda: answers(f"{address}/rules"))
        rules = httpx.get(f"{address}/rules").json()["data"]["groups"]
        alerts = {rule["name"] for group in rules for rule in group["rules"]}
        assert {"PneumoscopeDown", "PneumoscopeRefersMore", "GatewayParked"} <= alerts

        def is_scraped() -> bool:
            targets = httpx.get(f"{address}/targets").json()["data"]["activeTargets"]
            health = {target["labels"]["job"]: target["health"] for target in targets}
            return health.get("pneumoscope") == "up"

        eventually(is_scraped, every_s=1)


@pytest.fixture
def keys() -> tuple[str, str]:
    """A key, and the file that knows it."""
    key = os.urandom(32).hex()
    return key, json.dumps({"caller": key_of(key, ["predict", "read"])})


def read_one(url: str, key: str) -> None:
    eventually(lambda: answers(f"{url}/health/ready"))
    assert httpx.post(f"{url}/predict", content=RADIOGRAPH, headers=JPEG).status_code == 401
    answer = httpx.post(
        f"{url}/predict",
        content=RADIOGRAPH,
        headers=JPEG | {"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text


def test_the_image_runs_as_heroku_runs_it(cpu_image: str, keys: tuple[str, str]) -> None:
    told = yaml.safe_load((ROOT / "deploy" / "heroku" / "heroku.yml").read_text())
    dockerfile = ROOT / told["build"]["docker"]["web"]
    assert dockerfile.is_file()
    assert (ROOT / told["build"]["config"]["REQUIREMENTS"]).is_file()
    key, file = keys
    port, inner = free_port(), "37123"
    # A dyno of 512 MB, with a user, a port and a file system of the platform's choice.
    limits = ["--memory", "512m", "--memory-swap", "512m", "--user", "4711", "--read-only"]
    where = [f"--tmpfs={TMP}", "--publish", f"127.0.0.1:{port}:{inner}"]
    environment = ["--env", f"PORT={inner}", "--env", f"PNEUMO_API_KEYS={file}"]
    more = ["--env", "PNEUMO_PROVIDER=cpu"]
    run = ["run", "--detach", "--rm", *limits, *where, *environment, *more, cpu_image]
    container = docker(*run, *told["run"]["web"].split()).strip()
    try:
        read_one(f"http://127.0.0.1:{port}", key)
        state = json.loads(docker("inspect", container))[0]["State"]
        assert state["OOMKilled"] is False
    finally:
        docker("stop", "--time", "30", container)


def test_the_bundle_for_elastic_beanstalk_runs(cpu_image: str, keys: tuple[str, str]) -> None:
    key, file = keys
    folder = ROOT / "deploy" / "elastic-beanstalk"
    options = yaml.safe_load((folder / ".ebextensions" / "health.config").read_text())
    process = options["option_settings"]["aws:elasticbeanstalk:environment:process:default"]
    told = {"PNEUMO_IMAGE": cpu_image, "PNEUMO_API_KEYS": file}
    with project(
        str(folder / "docker-compose.yml"), PORT="5000", PNEUMO_MEMORY="512m", **told
    ) as compose:
        compose("up", "--detach")
        read_one(compose.url, key)
        # The load balancer has no key.
        assert httpx.get(f"{compose.url}{process['HealthCheckPath']}").status_code == 200
        facts: Any = compose.container()
        assert facts["HostConfig"]["ReadonlyRootfs"] is True
        assert facts["HostConfig"]["Memory"] == 512 * 1024**2
        assert list(facts["HostConfig"]["PortBindings"]) == ["5000/tcp"]
        assert facts["State"]["OOMKilled"] is False


@pytest.mark.slow
def test_the_image_is_the_same_when_it_is_built_again(cpu_image: str, tmp_path: Path) -> None:
    """Equal file contents; the archives differ in times, which the builder sets."""
    build = ["build", "--no-cache", "--quiet", "--file", "Dockerfile.gpu"]
    base = os.environ.get("BASE_IMAGE")
    arguments = ["--build-arg", "REQUIREMENTS=requirements/serve.txt"]
    arguments += ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    again = docker(*build, *arguments, ".").strip()
    try:
        first = sums_of(cpu_image)
        assert len(first.splitlines()) > 10_000
        assert first == sums_of(again)
    finally:
        docker("rmi", "--force", again)


def sums_of(image: str) -> str:
    """The SHA-256 of every file; the engine lays three of its own over the image's."""
    engines = "-path /etc/hosts -o -path /etc/hostname -o -path /etc/resolv.conf"
    command = f"find / -xdev -type f ! \\( {engines} \\) -print0 | sort -z | xargs -0 sha256sum"
    return docker("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-c", command)


def test_the_audit_trail_lies_in_a_database_beside_the_service(
    cpu_image: str, secrets: dict[str, str]
) -> None:
    url = "postgresql+psycopg://pneumoscope@database/pneumoscope"
    with project(*ALL, PNEUMO_AUDIT_URL=url, **secrets) as compose:
        compose("--profile", "audit", "up", "--detach", "--build", "--wait", "database")
        compose("--profile", "audit", "up", "--detach", "--wait", "pneumoscope")
        answer = httpx.post(f"{compose.url}/predict", content=RADIOGRAPH, headers=JPEG, timeout=60)
        assert answer.status_code == 200, answer.text
        identifier = answer.json()["id"]
        query = f"SELECT count(*) FROM pneumoscope_audit WHERE answer_id = '{identifier}'"  # noqa: S608
        psql = ["psql", "--host=/tmp", "--dbname=pneumoscope", "--tuples-only", "--command", query]
        found = compose("--profile", "audit", "exec", "database", *psql)
        assert found.stdout.strip() == "1"
        command = ["python", "-m", "service", "audit", "verify"]
        verified = compose("exec", "pneumoscope", *command)
        assert verified.stdout.strip() == "The audit trail is whole."
