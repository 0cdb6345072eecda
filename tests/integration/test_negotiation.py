"""What a request may ask for at all: its headers, its media types, its parameters."""

import json
from collections.abc import Mapping

import httpx
import pytest

from tests.integration.live import Live, problem

RELATED = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("POST", "/predict", "application/fhir+xml"),
        ("POST", "/predict/image/", "application/json;q=0, text/plain"),
        ("GET", "/health", "text/xml"),
        ("GET", "/", "application/json"),
    ],
)
def test_an_answer_that_the_client_does_not_accept_is_refused(
    live: Live, radiograph: bytes, method: str, path: str, accept: str
) -> None:
    refused = live.client.request(method, path, content=radiograph, headers={"Accept": accept})

    assert problem(refused) == (406, "not-acceptable")
    assert "which Accept rules out" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/v2/models/tiny", "/v2"])
def test_the_inference_protocol_refuses_in_its_own_form(live: Live, path: str) -> None:
    refused = live.client.get(path, headers={"Accept": "text/xml"})

    assert refused.status_code == 406
    assert set(refused.json()) == {"error"}


def test_a_refusal_of_a_head_request_has_no_body(live: Live) -> None:
    refused = live.client.head("/health", headers={"Accept": "text/xml"})

    assert (refused.status_code, refused.content) == (406, b"")


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, application/json;q=0.1"])
def test_an_answer_that_the_client_accepts_comes(
    live: Live, radiograph: bytes, accept: str
) -> None:
    answered = live.client.post("/predict", content=radiograph, headers={"Accept": accept})

    assert answered.status_code == 200


def test_every_line_of_accept_counts(live: Live, radiograph: bytes) -> None:
    lines = [("Accept", "text/plain"), ("Accept", "application/json")]

    answered = live.client.post("/predict", content=radiograph, headers=lines)

    assert answered.status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json; charset=utf-8", "application/fhir+json", RELATED),
        *("text/json", "application/x-ndjson"),
    ],
)
def test_a_body_that_holds_no_image_is_told_what_to_send_instead(
    live: Live, content_type: str
) -> None:
    body = json.dumps({"image": "iVBORw0KGgo="})

    refused = live.client.post("/predict", content=body, headers={"Content-Type": content_type})

    assert problem(refused) == (415, "unsupported-media-type")
    assert "parts named 'file' of multipart/form-data" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("explian", "Did you mean explain?"), ("Model", "Did you mean model?"), ("x", "There are: ")],
)
def test_an_unknown_parameter_or_field_is_refused_with_the_nearest(
    live: Live, radiograph: bytes, name: str, hint: str
) -> None:
    in_the_query = live.predict(radiograph, **{name: ""})
    in_the_form = form(live, radiograph, {}, **{name: ""})

    for refused in (in_the_query, in_the_form):
        assert problem(refused) == (422, "invalid-parameter")
        assert refused.json()["detail"].startswith(f"{name}: there is no such parameter. {hint}")


def test_an_empty_name_of_a_model_is_refused(live: Live, radiograph: bytes) -> None:
    refused = live.predict(radiograph, model="")

    assert problem(refused) == (422, "invalid-parameter")


def test_parameters_may_be_fields_of_the_form(live: Live, radiograph: bytes) -> None:
    answered = form(
        live, radiograph, {}, model="tiny", version="1", explain="heatmap", priority="stat"
    )

    (result,) = answered.json()["results"]
    assert (result["model"]["name"], result["model"]["version"]) == ("tiny", 1)
    assert "heatmap" in result


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"version": "first"}, "version: Input should be a valid integer"),
        ({"model": "x" * 300}, "model: String should have at most 64 characters"),
        ({"explain": "heatmap"}, "explain: it has two values."),
    ],
)
def test_a_field_whose_value_cannot_be_is_refused(
    live: Live, radiograph: bytes, fields: dict[str, str], says: str
) -> None:
    refused = form(live, radiograph, {"explain": "none"}, **fields)

    assert problem(refused) == (422, "invalid-parameter")
    assert refused.json()["detail"].startswith(says)


def form(live: Live, image: bytes, query: Mapping[str, str], **fields: str) -> httpx.Response:
    return live.client.post("/predict", files={"file": image}, data=fields, params=query)


@pytest.mark.parametrize(
    "headers", [{f"X-{n}": "" for n in range(101)}, {"X-Long": "x" * 16_384}], ids=["many", "long"]
)
def test_too_many_headers_are_refused(live: Live, headers: dict[str, str]) -> None:
    refused = live.client.get("/health", headers=headers)

    assert problem(refused) == (431, "headers-too-large")
    assert "100 headers, and a head of 16384 bytes" in refused.json()["detail"]
