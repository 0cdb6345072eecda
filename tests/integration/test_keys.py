import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.live import Live, eventually, key_of, problem, process, serving_models

PACS, DASHBOARD = "pacs-key-0123456789", "dashboard-key-0123456789"


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    file = write(tmp_path_factory.mktemp("keys") / "keys.json", "pacs", "dashboard")
    with serving_models(models, api_keys_file=file) as running:
        yield running


def write(file: Path, *holders: str) -> Path:
    """Write the keys of some holders, at once as an operator should."""
    keys = {"pacs": key_of(PACS, ["predict"]), "dashboard": key_of(DASHBOARD, ["read"])}
    written = file.with_suffix(".new")
    written.write_text(json.dumps({name: keys[name] for name in holders}))
    return written.rename(file)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [
        *({}, {"Authorization": f"Basic {PACS}"}, bearer(PACS[:-1]), bearer("ä")),
        bearer(hashlib.sha256(PACS.encode()).hexdigest()),
    ],
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


def test_a_key_without_the_scope_is_forbidden_and_the_protocol_says_so_in_its_own_form(
    guarded: Live,
) -> None:
    infer = "/v2/models/tiny/infer"
    without, refused = (
        guarded.client.post(infer, headers=headers) for headers in ({}, bearer(DASHBOARD))
    )

    assert (without.status_code, refused.status_code) == (401, 403)
    assert problem(guarded.client.post("/predict", headers=bearer(DASHBOARD))) == (403, "forbidden")
    assert "www-authenticate" in without.headers
    assert "predict" in refused.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        *("/models", "/models/tiny", "/models/tiny/versions/1", "/metrics"),
        *("/v2", "/v2/models/tiny", "/v2/models/stats"),
    ],
)
def test_reading_needs_its_own_scope(guarded: Live, path: str) -> None:
    statuses = [
        guarded.client.get(path, headers=headers).status_code
        for headers in ({}, bearer(PACS), bearer(DASHBOARD))
    ]

    assert statuses == [401, 403, 200]


def test_a_request_is_logged_with_the_name_of_its_key_and_its_peer(
    models: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "keys.json", "pacs", "dashboard")
    with process(models, PNEUMO_API_KEYS_FILE=str(file)) as service:
        for key in (PACS, DASHBOARD, "wrong"):
            service.get("/models", headers=bearer(key))
        eventually(lambda: len(service.events("request")) == 3)
        events = service.events("request")

    assert [event["key"] for event in events] == ["pacs", "dashboard", None]
    assert {event["peer"] for event in events} == {"127.0.0.1"}
    assert not any(PACS in line or DASHBOARD in line for line in service.log)


def test_a_key_that_is_gone_from_the_file_is_refused_without_a_signal(
    models: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "keys.json", "pacs", "dashboard")
    with serving_models(models, api_keys_file=file) as service:
        before = service.client.get("/models", headers=bearer(DASHBOARD)).status_code
        write(file, "pacs")
        refused = partial(service.client.get, "/models", headers=bearer(DASHBOARD))
        eventually(lambda: refused().status_code == 401)
        of_another = service.client.get("/models", headers=bearer(PACS)).status_code

    assert (before, of_another) == (200, 403)


@pytest.mark.parametrize(
    "path",
    ["/health", "/health/live", "/health/ready", "/v2/health/ready", "/docs", "/openapi.json"],
)
def test_health_and_documentation_are_open(guarded: Live, path: str) -> None:
    assert guarded.client.get(path).status_code == 200
