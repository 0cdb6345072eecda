"""The audit trail over real databases: SQLite and PostgreSQL."""

import asyncio
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import Delete, Update, delete, event, update

from service import audit
from service.audit import TRAIL, AuditTrail, verify
from service.domain import AuditRecord
from service.errors import ProblemType, ServiceError, StartError
from service.logs import make_logger
from tests.gateway.stack import Database
from tests.refusals import refused
from tests.trust.conftest import answers, change, fresh_database, rows

IMAGES = 40


def open_trail(url: str, *, must_write: bool = True, log: io.BytesIO | None = None) -> AuditTrail:
    return AuditTrail(url, make_logger("info", log or io.BytesIO()), must_write=must_write)


def predicted(number: int) -> AuditRecord:
    return AuditRecord(
        "predict",
        caller="pacs",
        peer="10.0.0.7",
        request_id=f"request-{number}",
        answer_id=f"answer-{number}",
        input=f"{number:064x}",
        model="xray/1",
        digest="d" * 64,
        outcome="normal",
        latency_ms=12.345 + number / 7,
        at=time.time(),
    )


async def _write(trail: AuditTrail, count: int = IMAGES) -> None:
    await asyncio.gather(*(trail.write(predicted(n)) for n in range(count)))


def written(url: str, count: int = IMAGES) -> None:
    trail = open_trail(url)
    asyncio.run(_write(trail, count))
    trail.close()


def test_every_record_is_there_in_one_unbroken_chain(audit_url: str) -> None:
    written(audit_url)
    assert list(verify(audit_url)) == []
    found = rows(audit_url)
    assert [row["number"] for row in found] == list(range(IMAGES + 1))
    assert {row["answer_id"] for row in found[1:]} == {f"answer-{n}" for n in range(IMAGES)}
    assert found[0]["action"] == "start"


@pytest.mark.anyio
@pytest.mark.parametrize(("in_flight", "transactions"), [(0, 10), (1, 5)])
async def test_records_share_transactions_while_others_are_about_to_come(
    tmp_path: Path, in_flight: int, transactions: int
) -> None:
    url = f"sqlite:///{tmp_path}/trail.db"
    log = make_logger("info", io.BytesIO())
    trail = AuditTrail(url, log, must_write=True, in_flight=lambda: in_flight)
    committed: list[object] = []
    event.listen(trail._engine, "commit", committed.append)

    async def client(images: range) -> None:
        for image in images:
            await trail.write(predicted(image))

    if in_flight:
        await asyncio.gather(client(range(5)), client(range(5, 10)))
    else:
        await client(range(10))
    trail.close()

    # The first may have come before the second client's.
    assert transactions <= len(committed) <= transactions + 1
    assert sorted(map(str, answers(url))) == [f"answer-{image}" for image in range(10)]


def test_what_was_altered_taken_out_or_cut_off_is_named(audit_url: str) -> None:
    written(audit_url)
    written(audit_url, 1)
    assert list(verify(audit_url)) == []
    first = TRAIL.c.chain == min(rows(audit_url), key=lambda row: str(row["at"]))["chain"]

    def broken_by(statement: Update | Delete) -> str:
        change(audit_url, statement)
        [broken] = verify(audit_url)
        return broken

    cut_off = delete(TRAIL).where(first & (TRAIL.c.number > IMAGES - 3))
    assert "is not there any more" in broken_by(cut_off)
    assert "is not there any more" in broken_by(delete(TRAIL).where(first))


@pytest.mark.parametrize("how", [update(TRAIL).values(outcome="pneumonia"), delete(TRAIL)])
def test_a_record_that_was_altered_or_taken_out_is_named(
    audit_url: str, how: Update | Delete
) -> None:
    written(audit_url)
    change(audit_url, how.where(TRAIL.c.number == 7))
    [broken] = verify(audit_url)
    assert "record 7:" in broken


def test_the_record_of_an_answer_is_found_again(audit_url: str) -> None:
    trail = open_trail(audit_url)
    asyncio.run(_write(trail, 3))
    found = trail.find("answer-1", 0)
    assert found is not None
    assert (found.model, found.outcome, found.latency_ms) == ("xray/1", "normal", 12.345 + 1 / 7)
    assert trail.find("answer-1", 1) is None
    assert trail.find("answer-9", 0) is None
    trail.close()


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/a.db", "oracle://x", "nothing", "postgresql+psycopg://x:1/y"]
)
def test_a_database_that_cannot_be_used_stops_the_start(url: str) -> None:
    with pytest.raises(StartError, match="PNEUMO_AUDIT_URL"):
        open_trail(url)


def test_without_a_database_nothing_is_answered_and_it_comes_back(postgres: Database) -> None:
    url = fresh_database(postgres)
    log = io.BytesIO()
    trail = open_trail(url, log=log)

    async def scenario() -> None:
        await trail.write(predicted(0))
        postgres.kill()
        with refused(ProblemType.AUDIT_UNAVAILABLE):
            await trail.write(predicted(1))
        postgres.start()
        await trail.write(predicted(2))

    asyncio.run(scenario())
    trail.close()
    assert list(verify(url)) == []
    assert answers(url) == ["answer-0", "answer-2"]
    assert b'"event":"audit away"' in log.getvalue()
    assert b'"event":"audit back"' in log.getvalue()


def test_where_it_may_go_on_records_wait_for_the_database(postgres: Database) -> None:
    url = fresh_database(postgres)
    trail = open_trail(url, must_write=False)

    async def scenario() -> None:
        await trail.write(predicted(0))
        postgres.kill()
        await _write(trail)
        postgres.start()

    asyncio.run(scenario())
    trail.close()
    assert list(verify(url)) == []
    assert set(answers(url)) == {f"answer-{n}" for n in range(IMAGES)}


def test_what_is_left_when_it_stops_without_a_database_goes_to_the_log(postgres: Database) -> None:
    url = fresh_database(postgres)
    log = io.BytesIO()
    trail = open_trail(url, must_write=False, log=log)
    postgres.kill()
    try:
        asyncio.run(_write(trail, 3))
        trail.close()
    finally:
        postgres.start()
    lost = [line for line in log.getvalue().splitlines() if b"audit record lost" in line]
    assert len(lost) == 3
    assert all(b'"outcome":"normal"' in line for line in lost)


def test_a_server_killed_in_mid_write_has_all_that_was_acknowledged(postgres: Database) -> None:
    url = fresh_database(postgres)
    trail = open_trail(url)
    acknowledged: list[str] = []

    async def client(number: int) -> None:
        try:
            await trail.write(predicted(number))
        except ServiceError:
            return
        acknowledged.append(f"answer-{number}")

    async def scenario() -> None:
        clients = []
        for number in range(2000):
            clients.append(asyncio.create_task(client(number)))
            await asyncio.sleep(0.0005)
            if number == 1000:
                await asyncio.to_thread(postgres.kill)
            if number == 1200:
                await asyncio.to_thread(postgres.start)
        await asyncio.gather(*clients)

    asyncio.run(scenario())
    trail.close()
    assert 0 < len(acknowledged) < 2000
    assert set(acknowledged) <= set(answers(url))
    assert list(verify(url)) == []


@pytest.mark.parametrize("must_write", [True, False])
def test_records_for_which_there_is_no_room_are_refused_or_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, must_write: bool
) -> None:
    log = io.BytesIO()
    trail = open_trail(f"sqlite:///{tmp_path / 'a.db'}", must_write=must_write, log=log)
    monkeypatch.setattr(audit, "MOST_WAITING", 0)
    with refused(ProblemType.AUDIT_UNAVAILABLE) if must_write else nullcontext():
        asyncio.run(trail.write(predicted(1)))
    trail.close()
    assert (b"audit record lost" in log.getvalue()) != must_write


@pytest.mark.parametrize("must_write", [True, False])
def test_a_database_that_says_nothing_holds_nobody_up_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, must_write: bool
) -> None:
    trail = open_trail(f"sqlite:///{tmp_path / 'a.db'}", must_write=must_write)
    speaks = threading.Event()
    append = trail._append

    def silent(records: list[AuditRecord]) -> None:
        speaks.wait()
        append(records)

    monkeypatch.setattr(trail, "_append", silent)
    monkeypatch.setattr(audit, "ANSWER_S", 0.2)
    with refused(ProblemType.AUDIT_UNAVAILABLE) if must_write else nullcontext():
        asyncio.run(trail.write(predicted(1)))
    speaks.set()
    monkeypatch.setattr(audit, "ANSWER_S", 12.0)
    trail.close()
    # Who waited has gone away, and the record is there all the same.
    assert answers(f"sqlite:///{tmp_path / 'a.db'}") == ["answer-1"]


def test_many_processes_may_make_the_table_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with ThreadPoolExecutor(8) as pool:
        for trail in list(pool.map(lambda _: open_trail(url), range(8))):
            trail.close()
    assert list(verify(url)) == []


def test_a_trail_that_may_go_on_starts_without_its_database(postgres: Database) -> None:
    url = fresh_database(postgres)
    postgres.kill()
    try:
        trail = open_trail(url, must_write=False)
        asyncio.run(trail.write(predicted(1)))
        with refused(ProblemType.AUDIT_UNAVAILABLE):
            trail.find("answer-1", 0)
    finally:
        postgres.start()
    trail.close()
    assert answers(url) == ["answer-1"]
