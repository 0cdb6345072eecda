"""What HTTP asks of every address: methods, headers, media types, encodings; and its parameters."""

import gzip
import http.client
import json
import zlib
from collections.abc import Callable, Mapping

import httpx
import pytest

from tests.integration.live import Live, eventually, problem

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


@pytest.mark.parametrize(
    "path",
    ["/health", "/health/live", "/health/ready", "/v2/health/ready", "/", "/metrics", "/models"],
)
def test_head_answers_as_get_does_without_the_body(live: Live, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", live.server.port)

    connection.request("HEAD", path)
    head = connection.getresponse()
    body = head.read()
    # What is left of a body would be taken for the next answer.
    connection.request("GET", path)
    got = connection.getresponse()
    read = got.read()
    connection.close()

    assert (head.status, got.status) == (200, 200)
    assert (body, bool(read)) == (b"", True)
    assert head.getheader("content-type") == got.getheader("content-type")


def test_head_is_counted_for_its_route_and_refused_without_a_body(live: Live) -> None:
    live.client.head("/health/live")
    refused = live.client.head("/health", headers={"Accept": "text/xml"})
    nowhere = live.client.head("/nowhere")

    counted = 'pneumoscope_requests_total{route="/health/live",status="200"}'
    eventually(lambda: counted in live.client.get("/metrics").text)
    assert (refused.status_code, refused.content) == (406, b"")
    assert (nowhere.status_code, nowhere.content) == (404, b"")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/health", "GET, HEAD, OPTIONS"),
        ("/predict", "OPTIONS, POST"),
        ("/models/tiny", "GET, HEAD, OPTIONS"),
        ("/v2/models/tiny/infer", "OPTIONS, POST"),
    ],
)
def test_options_says_which_methods_an_address_has(live: Live, path: str, allowed: str) -> None:
    response = live.client.options(path)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == allowed
    assert live.client.request("TRACE", path).headers["allow"] == allowed
    assert problem(live.client.options("/nowhere")) == (404, "not-found")


@pytest.mark.parametrize("path", ["/health/", "/models/", "/models/tiny/", "/v2/", "/docs/", "//"])
def test_a_slash_at_the_end_changes_nothing(live: Live, path: str) -> None:
    response = live.client.get(path, headers={"Host": "localhost:1"})

    assert response.status_code == 200
    assert (
        response.content == live.client.get(path.rstrip("/") or "/").content or path == "/health/"
    )


def test_an_upload_to_an_address_with_a_slash_is_answered(live: Live, radiograph: bytes) -> None:
    assert live.client.post("/predict/", content=radiograph).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda it: gzip.compress(it[:7]) + gzip.compress(b"") + gzip.compress(it[7:])),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
def test_a_compressed_upload_is_read_as_what_it_was(
    live: Live, radiograph: bytes, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding}

    response = live.client.post("/predict", content=compress(radiograph), headers=headers)

    (found,), (expected,) = response.json()["results"], live.predict(radiograph).json()["results"]
    assert found["sha256"] == expected["sha256"]
    assert found["findings"] == expected["findings"]


ZIPPED = gzip.compress(bytes(5000), mtime=0)


@pytest.mark.parametrize(
    ("content", "encoding", "expected", "says"),
    [
        (b"x", "br", (415, "unsupported-encoding"), "gzip, deflate, or none"),
        (gzip.compress(ZIPPED), "gzip, gzip", (415, "unsupported-encoding"), "gzip, deflate, or"),
        (b"xx", "gzip", (400, "malformed-encoding"), "not what its Content-Encoding says"),
        (zlib.compress(b"x"), "gzip", (400, "malformed-encoding"), "not what its"),
        (ZIPPED[:-1], "gzip", (400, "malformed-encoding"), "breaks off"),
        (b"", "gzip", (400, "malformed-encoding"), "breaks off"),
        (ZIPPED + b"more", "gzip", (400, "malformed-encoding"), "not what its"),
        (ZIPPED + 5000 * b"more", "gzip", (400, "malformed-encoding"), "not what its"),
        (zlib.compress(b"x") * 2, "deflate", (400, "malformed-encoding"), "behind its own end"),
        (gzip.compress(b"") * 4097, "gzip", (400, "malformed-encoding"), "behind its own end"),
        (gzip.compress(bytes(1_000_001)), "gzip", (413, "body-too-large"), "bytes, inflated."),
    ],
    ids=[
        *("br", "twice", "plain", "another", "truncated", "empty", "longer", "much longer"),
        *("two of deflate", "many members", "too large"),
    ],
)
def test_a_body_that_cannot_be_inflated_is_refused(
    live: Live, content: bytes, encoding: str, expected: tuple[int, str], says: str
) -> None:
    response = live.client.post("/predict", content=content, headers={"Content-Encoding": encoding})

    assert problem(response) == expected
    assert says in response.json()["detail"]
    eventually(lambda: live.server.runtime.receive_budget.held == 0)
