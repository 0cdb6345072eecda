from collections import Counter

import numpy as np
import pytest

from bench.load import (
    NO_ANSWER,
    NOT_SENT,
    Load,
    LoadFailed,
    Record,
    figures,
    generate,
    request,
    run,
)

from .conftest import CountingServer

LARGE = bytes(500_000)


def requests(*images: bytes) -> list[bytes]:
    return [request("/predict", image, "raw") for image in images]


def statuses(load: Load, *images: bytes) -> list[int]:
    return [each.status for each in generate(load, requests(*images))[0]]


@pytest.mark.parametrize(("closes", "connections"), [(False, 3), (True, 20)])
def test_a_closed_loop_sends_as_many_requests_as_it_is_told_and_connects_again(
    server: CountingServer, connections: int, *, closes: bool
) -> None:
    server.closes = closes
    load = Load(port=server.port, connections=3, seconds=30, max_requests=20)

    assert statuses(load, b"one", b"two") == [200] * 20
    assert server.connections == connections
    assert Counter(server.bodies) == {b"one": 10, b"two": 10}


def test_every_status_is_counted(server: CountingServer) -> None:
    server.busy = True
    load = Load(port=server.port, connections=1, seconds=30, max_requests=9)

    records, stop_s = generate(load, requests(b"image"))

    assert figures(records, 0, stop_s).statuses == {"200": 6, "429": 3}


def test_an_open_loop_sends_on_schedule(server: CountingServer) -> None:
    load = Load(port=server.port, connections=8, rate_per_s=100, seconds=0.3)

    records, _ = generate(load, requests(b"image"))

    assert sorted(each.intended_s for each in records) == pytest.approx(np.arange(30) / 100)
    # The loop counts whole milliseconds.
    assert all(each.finished_s > each.intended_s - 0.002 for each in records)


def test_a_stalled_server_is_charged_for_all_whom_it_kept_waiting(server: CountingServer) -> None:
    server.delays_s = [0.2]
    load = Load(port=server.port, connections=1, rate_per_s=50, seconds=0.4)

    records, _ = generate(load, requests(b"image"))

    stalled_until_s = records[0].finished_s
    kept_waiting = [each for each in records if each.intended_s < stalled_until_s]
    assert stalled_until_s >= 0.2
    assert len(kept_waiting) >= 10
    assert all(each.finished_s >= stalled_until_s for each in kept_waiting)


def test_a_request_for_which_no_connection_was_free_is_recorded(server: CountingServer) -> None:
    server.delays_s = [1.0]
    load = Load(port=server.port, connections=1, rate_per_s=20, seconds=0.5)

    assert Counter(statuses(load, b"image")) == {200: 1, NOT_SENT: 9}


def test_a_request_without_an_answer_times_out(server: CountingServer) -> None:
    server.delays_s = [1.0]
    load = Load(port=server.port, connections=1, seconds=30, max_requests=1, timeout_s=0.1)

    assert statuses(load, b"image") == [NO_ANSWER]


def test_a_load_in_a_process_of_its_own_finds_the_same(server: CountingServer) -> None:
    load = Load(port=server.port, connections=2, seconds=30, max_requests=6)

    found = run(load, requests(LARGE))

    assert found.statuses == {"200": 6}
    assert found.answers == 6
    # Larger than any buffer, and whole.
    assert server.bodies == [LARGE] * 6


def test_a_process_that_fails_says_why(server: CountingServer) -> None:
    port = server.port
    server.server_close()

    with pytest.raises(LoadFailed, match="got no answer"):
        run(Load(port=port, connections=2, seconds=30), requests(b"image"))


def test_a_form_holds_the_image_as_it_is(server: CountingServer) -> None:
    load = Load(port=server.port, connections=1, seconds=30, max_requests=1)

    generate(load, [request("/predict", b"the image", "multipart")])

    [body] = server.bodies
    assert b'name="file"' in body
    assert b"\r\n\r\nthe image\r\n--" in body


def test_the_warm_up_and_what_came_late_do_not_count() -> None:
    records = [
        Record(0.5, 0.6, 200),
        Record(1.0, 1.1, 200),
        Record(1.5, 1.7, 503),
        Record(1.9, 2.4, 200),
    ]

    found = figures(records, start_s=1, stop_s=2)

    # One answer came within the second; of the two that were due in it, one took 100 ms, one 500.
    assert found.throughput == 1
    assert found.p50_ms == pytest.approx(300)
    assert found.statuses == {"200": 2, "503": 1}
    assert found.answers == 3
