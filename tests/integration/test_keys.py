import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.integration.live import Live, problem, serving

PACS, DASHBOARD = "pacs-key-0123456789", "dashboard-key-0123456789"


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    keys = {
        "pacs": {"sha256": hashlib.sha256(PACS.encode()).hexdigest(), "scopes": ["predict"]},
        "dashboard": {"sha256": hashlib.sha256(DASHBOARD.encode()).hexdigest(), "scopes": ["read"]},
    }
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(json.dumps(keys))
    with serving(Settings(models_dir=models, port=0, api_keys_file=file)) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("wrong"), {"Authorization": f"Basic {PACS}"}, bearer(PACS[:-1]), bearer("ä")],
)
def test_without_a_known_key_nothing_is_read(
    guarded: Live, radiograph: bytes, headers: dict[str, str]
) -> None:
    sent = {name.encode(): value.encode() for name, value in headers.items()}

    response = guarded.client.post("/predict", content=radiograph, headers=sent)

    assert problem(response) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="pneumoscope"'
    good = guarded.client.post("/predict", content=radiograph, headers=bearer(PACS))
    assert good.status_code == 200


def test_a_key_without_the_scope_is_forbidden(guarded: Live, radiograph: bytes) -> None:
    refused = guarded.client.post("/predict", content=radiograph, headers=bearer(DASHBOARD))

    assert problem(refused) == (403, "forbidden")
    good = guarded.client.post("/predict", content=radiograph, headers=bearer(PACS))
    assert good.status_code == 200


@pytest.mark.parametrize("path", ["/models", "/models/tiny", "/models/tiny/versions/1", "/metrics"])
def test_reading_needs_its_own_scope(guarded: Live, path: str) -> None:
    statuses = [
        guarded.client.get(path, headers=headers).status_code
        for headers in ({}, bearer(PACS), bearer(DASHBOARD))
    ]

    assert statuses == [401, 403, 200]


@pytest.mark.parametrize(
    "path", ["/health", "/health/live", "/health/ready", "/docs", "/openapi.json"]
)
def test_health_and_documentation_are_open(guarded: Live, path: str) -> None:
    assert guarded.client.get(path).status_code == 200
