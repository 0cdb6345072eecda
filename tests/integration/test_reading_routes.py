"""What can be read of the service: health, models, metrics, documentation."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from contract.manifest import read_manifest
from service import __version__
from service.schemas import Health, ModelDescription, ModelList, ModelVersions
from tests.integration.live import Live, eventually, problem

REPOSITORY = Path(__file__).resolve().parents[2]


def test_health_says_what_runs_and_where(live: Live) -> None:
    response = live.client.get("/health")

    health = Health.model_validate_json(response.content)
    assert response.status_code == 200
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert (health.status, health.version) == ("ready", __version__)
    assert project["version"] == __version__
    assert health.uptime_s > 0
    assert health.execution_provider == "CPUExecutionProvider"
    assert [(m.name, m.version) for m in health.models] == [
        ("tiny", 1),
        ("tiny", 2),
        ("tiny-ct", 1),
    ]


def test_probes_are_answered(live: Live) -> None:
    assert live.client.get("/health/live").json() == {"status": "live"}
    assert live.client.get("/health/ready").json() == {"status": "ready"}


def test_every_model_is_described(live: Live, models: Path) -> None:
    manifest = read_manifest(models / "tiny" / "2")

    listed = ModelList.model_validate_json(live.client.get("/models").content)
    versions = ModelVersions.model_validate_json(live.client.get("/models/tiny").content)
    one = ModelDescription.model_validate_json(live.client.get("/models/tiny/versions/2").content)

    assert listed.default == "tiny"
    assert one in listed.models
    assert versions.latest == 2
    assert versions.versions[-1] == one
    assert (one.digest, one.intended_use) == (manifest.digest, manifest.intended_use)
    assert [finding.label for finding in one.findings] == ["normal", "pneumonia"]
    assert [finding.operating_point for finding in one.findings] == [0.9, 0.9]
    assert one.metrics == list(manifest.metrics)
    assert (one.height, one.width) == (32, 32)
    for path in ("/models/nobody", "/models/tiny/versions/9"):
        assert problem(live.client.get(path)) == (404, "unknown-model")


def test_metrics_count_requests_images_and_refusals(live: Live, radiograph: bytes) -> None:
    live.predict(radiograph)
    live.predict(b"not an image")
    live.client.get("/patients/doe")
    live.client.get("/docs/assets/swagger-ui.css")

    # A request is counted once its answer is sent, which its client may learn of first.
    counted = 'requests_total{route="/docs/assets",status="200"}'
    eventually(lambda: counted in live.client.get("/metrics").text)
    text = live.client.get("/metrics").text

    assert re.search(r'pneumoscope_requests_total\{route="/predict",status="200"\} [1-9]', text)
    assert re.search(r'pneumoscope_requests_total\{route="/predict",status="422"\} [1-9]', text)
    assert re.search(r'pneumoscope_requests_total\{route="unmatched",status="404"\} [1-9]', text)
    assert re.search(r'pneumoscope_images_total\{.*model="tiny",version="2"\} [1-9]', text)
    assert re.search(r'pneumoscope_images_rejected_total\{reason="not-an-image"\} [1-9]', text)
    for stage in ("decode", "queue", "inference", "encode", "total"):
        labels = rf'model="tiny",provider="CPUExecutionProvider",stage="{stage}",version="2"'
        assert re.search(rf"pneumoscope_stage_seconds_count\{{{labels}\}} [1-9]", text)
    assert re.search(r'pneumoscope_requests_refused_total\{reason="not-found"\} [1-9]', text)
    assert "pneumoscope_queue_depth 0.0" in text
    assert 'pneumoscope_model_info{digest="sha256:' in text
    assert "pneumoscope_images_in_flight 0.0" in text
    assert "doe" not in text


def test_the_documentation_loads_nothing_from_another_host(live: Live) -> None:
    page = live.client.get("/docs")

    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert not re.search("https?://", page.text)
    # What a route says of security stands in place of what every answer has.
    (policy,) = page.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'self'; script-src 'self' 'unsafe-inline'")
    assert page.headers.get_list("cache-control") == ["no-store"]
    assert len(addresses) == 3
    for address in addresses:
        assert live.client.get(f"/{address}").status_code == 200


def test_both_forms_of_the_openapi_document_are_the_same(live: Live) -> None:
    as_json = live.client.get("/openapi.json").json()

    assert yaml.safe_load(live.client.get("/openapi.yaml").text) == as_json
    assert live.client.get("/openapi.yaml").headers["content-type"] == "application/yaml"


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/predict", "/openapi.json"])
def test_no_answer_is_cached_sniffed_or_framed(live: Live, path: str) -> None:
    headers = live.client.get(path).headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "server" not in headers


def test_exactly_one_onnxruntime_is_installed() -> None:
    names = [each.name.lower() for each in importlib.metadata.distributions()]

    assert len([name for name in names if re.fullmatch(r"onnxruntime(-.+)?", name)]) == 1
