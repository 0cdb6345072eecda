"""Bodies that arrive in great number, or never quite arrive."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import limits
from tests.integration.live import HEAD, Live, Process, connect, eventually, process, serving_models

MIB = 1024 * 1024
UPLOADS = 8


@pytest.fixture
def impatient(models: Path) -> Iterator[Live]:
    with serving_models(
        models, max_body_bytes=4 * MIB, receive_budget_bytes=4 * MIB, receive_timeout_s=1.5
    ) as running:
        yield running


def stalled(port: int, size: int, sent: int) -> socket.socket:
    """Begin an upload of ``size`` bytes, and stop after ``sent`` of them."""
    connection = connect(port)
    # A service that sheds it may close the connection while it is sent.
    with contextlib.suppress(ConnectionError):
        connection.sendall(HEAD % size + b"\xff\xd8\xff" + b"\0" * (sent - 3))
    return connection


def answer(connection: socket.socket) -> str:
    received = b""
    while b"/problems/" not in received and (piece := connection.recv(65536)):
        received += piece
    return received.decode()


def held(live: Live) -> int:
    return int(live.server.runtime.receive_budget.held)


def test_a_stalled_upload_is_given_up_and_its_connection_let_go(
    impatient: Live, radiograph: bytes
) -> None:
    with stalled(impatient.server.port, 3 * MIB, MIB) as connection:
        eventually(lambda: held(impatient) == MIB)
        said = answer(connection)
        end = connection.recv(1) if "\r\n\r\n" in said else b"?"
    good = impatient.predict(radiograph)

    assert said.startswith("HTTP/1.1 408 ")
    assert "/problems/body-timeout" in said
    assert "connection: close" in said.lower()
    assert end == b""
    assert good.status_code == 200
    assert held(impatient) == 0


def test_a_refused_upload_without_end_is_cut_off(
    impatient: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DRAIN_S", 0.5)
    with connect(impatient.server.port) as connection:
        connection.sendall(HEAD % 10**10)
        said = answer(connection)
        with pytest.raises(ConnectionError):
            send_on(connection)

    assert said.startswith("HTTP/1.1 413 ")
    assert said.lower().count("connection: close") == 1


def test_a_refused_upload_that_is_whole_keeps_its_connection(
    impatient: Live, radiograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ON_ITS_WAY_S", 5)
    connection = http.client.HTTPConnection("127.0.0.1", impatient.server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", "/predict?modle=x", radiograph)
        refused = connection.getresponse()
        said, link = refused.read(), connection.sock
        connection.request("POST", "/predict", radiograph)
        answered = connection.getresponse()

        assert (refused.status, refused.headers["connection"]) == (422, None)
        assert b"/problems/invalid-parameter" in said
        assert (answered.status, connection.sock) == (200, link)
    assert held(impatient) == 0


def send_on(connection: socket.socket) -> None:
    started = time.monotonic()
    while time.monotonic() < started + 20:
        connection.sendall(bytes(MIB))


def test_an_upload_that_drips_is_given_up(impatient: Live) -> None:
    started = time.monotonic()
    with stalled(impatient.server.port, 3 * MIB, 1000) as connection:
        connection.settimeout(0.2)
        said = b""
        while b"/problems/" not in said and time.monotonic() - started < 20:
            with contextlib.suppress(TimeoutError):
                said += connection.recv(65536)
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"\0")

    assert said.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 10


def test_bodies_that_together_are_too_large_are_shed_while_probes_are_answered(
    impatient: Live, radiograph: bytes
) -> None:
    port = impatient.server.port
    with stalled(port, 4 * MIB, 4 * MIB - 1000):
        eventually(lambda: held(impatient) == 4 * MIB - 1000)
        shed = impatient.predict(radiograph)
        probes = [
            impatient.client.get(path).status_code
            for path in ("/health", "/health/live", "/health/ready", "/metrics", "/models")
        ]
        eventually(lambda: held(impatient) == 0)
    good = impatient.predict(radiograph)

    assert len(radiograph) > 1000
    assert (shed.status_code, shed.json()["type"]) == (429, "/problems/too-many-uploads")
    assert int(shed.headers["retry-after"]) >= 1
    assert probes == [200] * 5
    assert good.status_code == 200


def test_a_request_without_a_body_is_never_timed(impatient: Live) -> None:
    with connect(impatient.server.port) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        said = connection.recv(65536)

    assert said.startswith(b"HTTP/1.1 200 ")


def test_many_large_uploads_that_stall_need_no_more_memory_than_the_budget(
    models: Path, radiograph: bytes
) -> None:
    with process(
        models, PNEUMO_RECEIVE_BUDGET_BYTES=str(96 * MIB), PNEUMO_RECEIVE_TIMEOUT_S="4"
    ) as service:
        good = [service.post(content=radiograph).status_code]
        before = service.resident_bytes()
        for _ in range(2):
            storm(service.port)
            good.append(service.post(content=radiograph).status_code)
        highest = service.resident_bytes("VmHWM")
        eventually(lambda: len(posts(service)) == 3 + 2 * UPLOADS)
        statuses = {event["status"] for event in posts(service)}

    assert good == [200] * 3
    assert statuses == {200, 408, 429}
    # The second time needs no more than the first: what was let go of is used again. Beside the
    # budget there is what the server holds of each body that nobody has read yet.
    assert highest - before < 160 * MIB


def storm(port: int) -> None:
    """Begin more uploads than there is room for, and leave each only once it is answered."""

    def begin() -> None:
        with stalled(port, 60 * MIB, 50 * MIB) as connection, contextlib.suppress(ConnectionError):
            answer(connection)

    senders = [threading.Thread(target=begin) for _ in range(UPLOADS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


@pytest.mark.parametrize("cut", [0, 80, 1000])
@pytest.mark.parametrize("offer", ["Upgrade: h2c", "upgrade:TLS/1.2", "Upgrade: websocket"])
def test_an_offer_of_another_protocol_costs_nothing_of_the_body(
    live: Live, radiograph: bytes, offer: str, cut: int
) -> None:
    head = HEAD % len(radiograph)
    offered = f"\r\nConnection: Upgrade, HTTP2-Settings\r\n{offer}\r\nHTTP2-Settings: AAMA\r\n\r\n"

    with connect(live.server.port) as connection:
        for _ in range(2):
            sent = head.removesuffix(b"\r\n\r\n") + offered.encode() + radiograph
            connection.sendall(sent[:cut])
            time.sleep(0.05)
            connection.sendall(sent[cut:])
            answered = connection.recv(65536)
            # The body may come behind its head.
            while b'"timing_ms"' not in answered and (piece := connection.recv(65536)):
                answered += piece

            assert answered.startswith(b"HTTP/1.1 200 ")


def posts(service: Process) -> list[dict[str, object]]:
    return [event for event in service.events("request") if event["method"] == "POST"]
