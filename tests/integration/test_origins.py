"""Whom the service answers: by the name that it is called, and by the page that calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.live import Live, problem, serving_models

VIEWER = "https://viewer.example"


@pytest.fixture(scope="module")
def named(models: Path) -> Iterator[Live]:
    with serving_models(
        models,
        allowed_hosts="Reader.example, *.clinic.example, ported.example:8443",
        cors_origins=VIEWER,
    ) as running:
        running.client.headers["Host"] = "reader.example"
        yield running


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.2:8000", "[::1]:8000"])
def test_on_the_loopback_the_names_of_the_loopback_are_answered(live: Live, host: str) -> None:
    assert live.client.get("/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.evil.example", "[::2]", "10.0.0.1:8000", ""])
def test_on_the_loopback_another_name_is_refused(live: Live, host: str) -> None:
    refused = live.client.get("/models", headers={"Host": host})

    assert problem(refused) == (421, "misdirected-request")
    assert "PNEUMO_ALLOWED_HOSTS" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/v2/health/ready"])
def test_probes_are_answered_whatever_the_name(live: Live, path: str) -> None:
    assert live.client.get(path, headers={"Host": "10.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("reader.example:8000", 200),
        ("a.b.clinic.example", 200),
        ("ported.example:8443", 200),
        ("ported.example", 421),
        ("clinic.example", 421),
        ("localhost", 421),
    ],
)
def test_names_that_are_listed_are_answered_alone(named: Live, host: str, status: int) -> None:
    assert named.client.get("/models", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_post_of_a_page_of_another_origin_is_refused_and_reading_is_not(
    live: Live, radiograph: bytes, headers: dict[str, str]
) -> None:
    refused = live.client.post("/predict", content=radiograph, headers=headers)

    assert problem(refused) == (403, "cross-origin")
    assert "access-control-allow-origin" not in refused.headers
    assert live.client.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://proxy.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:8000", "Host": "localhost:8000"},
    ],
)
def test_a_post_of_the_own_page_is_answered(
    live: Live, radiograph: bytes, headers: dict[str, str]
) -> None:
    assert live.client.post("/predict", content=radiograph, headers=headers).status_code == 200


def test_a_page_of_an_origin_that_is_listed_is_answered_with_cors_and_no_other_is(
    named: Live, radiograph: bytes
) -> None:
    asked = {
        "Origin": VIEWER,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = named.client.options("/predict", headers=asked)
    from_viewer = {"Origin": VIEWER, "Sec-Fetch-Site": "cross-site"}
    answered = named.client.post("/predict", content=radiograph, headers=from_viewer)
    empty = named.client.post("/predict", content=b"", headers=from_viewer)
    refused = named.client.options("/predict", headers=asked | {"Origin": "https://evil.example"})

    assert (preflight.status_code, preflight.headers["access-control-allow-headers"]) == (
        200,
        "authorization",
    )
    assert (answered.status_code, empty.status_code, refused.status_code) == (200, 422, 400)
    assert {each.headers["access-control-allow-origin"] for each in (answered, empty)} == {VIEWER}
    assert "access-control-allow-origin" not in refused.headers
