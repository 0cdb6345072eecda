"""Connections on which no whole request comes."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import protocol
from tests.integration.live import HEAD, Live, connect, eventually, serving_models, until_closed

POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def strict(live: Live, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 1.0)
    return live


@pytest.fixture
def crowded(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    with serving_models(models) as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        (b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 20_000, 431, "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + b"A: 1\r\n" * 102, 431, "headers-too-large"),
        (b"hello\r\n\r\n", 400, "malformed-request"),
        (b"\x00\x01\x02\r\n\r\n", 400, "malformed-request"),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", 400, "malformed-request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nno\r\n", 400, "malformed-request"),
    ],
    ids=["long", "many", "line", "bytes", "field", "framing"],
)
def test_what_cannot_be_a_request_is_refused_before_it_is_whole(
    live: Live, sent: bytes, status: int, slug: str
) -> None:
    with connect(live.server.port) as connection:
        connection.sendall(sent)
        said = until_closed(connection)

    assert said.startswith(f"HTTP/1.1 {status} ")
    assert "content-type: application/problem+json\r\n" in said
    assert said.count(f'"/problems/{slug}"') == 1


def test_an_answer_on_its_way_is_not_mixed_with_a_refusal(live: Live, radiograph: bytes) -> None:
    with connect(live.server.port) as connection:
        connection.sendall(HEAD % len(radiograph) + radiograph + b"hello\r\n\r\n")
        said = until_closed(connection)

    assert " 400 " not in said


@pytest.mark.parametrize("sent", [b"GET /health HTTP/1.1\r\nHost: loc", b"\r\n", b"G", b""])
def test_a_head_that_is_not_whole_in_time_is_given_up(strict: Live, sent: bytes) -> None:
    with connect(strict.server.port) as connection:
        connection.sendall(sent)
        said = until_closed(connection)

    # Where not a byte came, there is nobody to answer.
    assert said.startswith("HTTP/1.1 408 ") is bool(sent)
    assert ('"/problems/head-timeout"' in said) is bool(sent)


def test_a_head_that_drips_is_given_up_all_the_same(strict: Live) -> None:
    with connect(strict.server.port) as connection:
        connection.settimeout(0.1)
        connection.sendall(b"GET /health?")
        said = b""
        for _ in range(100):
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                said = connection.recv(65536)
                break

    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_second_request_has_its_own_time(strict: Live) -> None:
    with connect(strict.server.port) as connection:
        for _ in range(6):
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
            time.sleep(0.25)
            connection.sendall(b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_of_too_many_connections_the_one_that_idles_longest_is_closed(
    crowded: Live, radiograph: bytes
) -> None:
    port = crowded.server.port
    with connect(port) as busy, connect(port) as first, connect(port) as second:
        busy.sendall(HEAD % len(radiograph))
        eventually(lambda: uploading(crowded))
        for connection in (first, second):
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connect(port) as third:
            # It ends, whatever is left of its answer.
            assert "HTTP/1.1" not in until_closed(first)
            third.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert third.recv(65536).startswith(b"HTTP/1.1 200 ")
        busy.sendall(radiograph)

        assert busy.recv(65536).startswith(b"HTTP/1.1 200 ")


def uploading(live: Live) -> bool:
    """Whether a request is at work."""
    return any(getattr(each, "is_busy", False) for each in live.server.server_state.connections)
