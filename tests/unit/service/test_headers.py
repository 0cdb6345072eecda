import multiprocessing
import uuid
from concurrent.futures import ProcessPoolExecutor

import pytest

from service.headers import accepts, header_of, request_id, traceparent, uuid7


def test_a_uuid_of_version_7_sorts_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1_700_000_000_000, 1_700_000_000_001])
    monkeypatch.setattr("time.time_ns", lambda: next(times) * 1_000_000)

    first, second = uuid7(), uuid7()

    assert first < second
    assert first.version == second.version == 7
    assert first.variant == uuid.RFC_4122
    assert first.int >> 80 == 1_700_000_000_000


def test_two_are_never_the_same_nor_are_those_of_two_workers() -> None:
    spawn = multiprocessing.get_context("spawn")  # as uvicorn starts its workers
    drawn = set()

    for _ in range(2):
        with ProcessPoolExecutor(1, spawn) as worker:
            futures = [worker.submit(uuid7) for _ in range(100)]
        # Without the time, which alone would tell them apart.
        drawn |= {future.result().int % 2**80 for future in futures}

    assert len(drawn) == 200


@pytest.mark.parametrize(
    "given", ["42", "a.b_c~d-E", "x" * 128, "q83vEjRWeJA+/w==", "urn:oid:1.2.840", "a/b{c}|d\\e"]
)
def test_a_printable_request_identifier_is_kept(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize(
    "given", [None, "", "a b", 'a"', "a'b", "`a`", "<a>", "a\n", "a\tb", "a\x7f", "é", "x" * 129]
)
def test_any_other_is_replaced(given: str | None) -> None:
    assert uuid.UUID(request_id(given)).version == 7


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "given",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        "",
        None,
    ],
)
def test_a_trace_context_is_kept_only_where_it_is_well_formed(given: str | None) -> None:
    assert traceparent(given) is None


SCOPE = {"type": "http", "headers": [(b"a", b"1"), (b"b", b"caf\xe9"), (b"a", b"2")]}


@pytest.mark.parametrize(("name", "found"), [(b"a", "1"), (b"b", "café"), (b"c", None)])
def test_the_first_header_of_a_name_counts_and_is_latin_1(name: bytes, found: str | None) -> None:
    assert header_of(SCOPE, name) == found


JSON = "application/json"


@pytest.mark.parametrize(
    ("accept", "media_type", "accepted"),
    [
        ("", JSON, True),
        ("*/*", JSON, True),
        ("text/html, application/*;q=0.1", JSON, True),
        ("Application/JSON ; q=1", JSON, True),
        ("text/html,*/*;q=0.8", "image/png", True),
        ("text/plain;version=0.0.4;q=0.3", "text/plain; version=0.0.4; charset=utf-8", True),
        ("*/*;q=0, application/json", JSON, True),
        ("text/html", "", True),
        ("text/html", JSON, False),
        ("application/fhir+json", JSON, False),
        ("*/*, application/json;q=0.000", JSON, False),
        ("image/*", JSON, False),
    ],
)
def test_a_media_type_is_accepted_by_its_most_specific_range(
    accept: str, media_type: str, *, accepted: bool
) -> None:
    assert accepts(accept, media_type) is accepted
