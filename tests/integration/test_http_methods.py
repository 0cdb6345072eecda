"""What HTTP asks of every address: HEAD, OPTIONS, a slash too many, a compressed body."""

import gzip
import http.client
import zlib

import pytest

from tests.integration.live import Live, eventually, problem


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


def test_head_is_counted_for_its_route(live: Live) -> None:
    live.client.head("/health/live")

    counted = 'pneumoscope_requests_total{route="/health/live",status="200"}'
    eventually(lambda: counted in live.client.get("/metrics").text)


def test_head_of_what_is_not_there_is_not_found(live: Live) -> None:
    response = live.client.head("/nowhere")

    assert (response.status_code, response.content) == (404, b"")


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


def test_options_of_what_is_not_there_is_not_found(live: Live) -> None:
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
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_upload_is_read_as_what_it_was(
    live: Live, radiograph: bytes, encoding: str, compress: object
) -> None:
    assert callable(compress)
    headers = {"Content-Encoding": encoding}

    response = live.client.post("/predict", content=compress(radiograph), headers=headers)
    plain = live.predict(radiograph)

    (found,), (expected,) = response.json()["results"], plain.json()["results"]
    assert found["sha256"] == expected["sha256"]
    assert found["findings"] == expected["findings"]


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        (b"x", "br", (415, "unsupported-encoding")),
        (b"x", "gzip", (400, "malformed-encoding")),
        (gzip.compress(b"x", mtime=0)[:-1], "gzip", (400, "malformed-encoding")),
        (gzip.compress(bytes(1_000_001), mtime=0), "gzip", (413, "body-too-large")),
    ],
)
def test_a_body_that_cannot_be_inflated_is_refused(
    live: Live, content: bytes, encoding: str, expected: tuple[int, str]
) -> None:
    response = live.client.post("/predict", content=content, headers={"Content-Encoding": encoding})

    assert problem(response) == expected
    assert live.server.runtime.receive_budget.held == 0
