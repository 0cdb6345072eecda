"""The audit trail: who had what read by which model, append-only, in a database of the operator's.

Each process writes a chain of records. A record's hash covers its fields and the hash before it,
so one that was altered, taken out or put in is found. Records never hold anything of the patient.
"""

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice

import orjson
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    case,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from service.domain import CORRECTION, MODEL_LENGTH, OUTCOME_LENGTH, AuditRecord
from service.errors import ProblemType, ServiceError, StartError
from service.headers import uuid7
from service.logs import Logger

# Records of one transaction, and those that wait in memory while the database is away.
BATCH, MOST_WAITING = 500, 10_000
CONNECT_S = 5
# How long an answer waits for its record, and a stop for the last ones.
ANSWER_S = 12.0
RETRY_S = 2.0
# A transaction costs as much CPU as ten records more in it, so a busy service's are so far apart.
SPACING_S = 0.025
_GENESIS = "0" * 64

METADATA = MetaData()
TRAIL = Table(
    "pneumoscope_audit",
    METADATA,
    Column("chain", String(36), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # Seconds since 1970.
    Column("at", Float(53), nullable=False),
    Column("action", String(16), nullable=False),
    Column("caller", String(200), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("request_id", String(200), nullable=False),
    Column("answer_id", String(36), nullable=False),
    Column("input", String(64), nullable=False),
    Column("model", String(MODEL_LENGTH), nullable=False),
    Column("digest", String(80), nullable=False),
    Column("outcome", String(OUTCOME_LENGTH), nullable=False),
    Column("latency_ms", Float(53), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("pneumoscope_audit_by_answer", "answer_id"),
    Index("pneumoscope_audit_by_hash", "hash"),
)
_IS_FEEDBACK = TRAIL.c.action == "feedback"
# Few of many records, which are counted for the page.
Index(
    "pneumoscope_audit_feedback",
    TRAIL.c.model,
    sqlite_where=_IS_FEEDBACK,
    postgresql_where=_IS_FEEDBACK,
)


@dataclass(slots=True)
class _Waiting:
    """A record, and whoever waits until it is durable."""

    record: AuditRecord
    future: "Future[None]"

    def release(self, error: Exception | None = None) -> None:
        """Let whoever waits go on, once, unless he has gone away."""
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class AuditTrail:
    """Writes the records of one process from a thread of its own, as many at once as wait.

    With ``must_write``, what cannot be written is not answered. Otherwise it waits in memory for
    the database, and each record that does not fit goes to the log. While ``in_flight`` images are
    in work, their records are waited for a little.
    """

    def __init__(
        self, url: str, log: Logger, *, must_write: bool, in_flight: Callable[[], int] = lambda: 0
    ) -> None:
        """Open the trail.

        Raises:
            StartError: The database cannot be used.
        """
        self._engine = _engine(url)
        self._log = log
        self._must_write = must_write
        self._in_flight = in_flight
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._away = self._closing = False
        try:
            self._begin_chain()
        except SQLAlchemyError as error:
            if must_write:
                raise StartError(f"PNEUMO_AUDIT_URL: {_reason(error)}") from error
            self._note_away(error)
        self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
        self._thread.start()

    async def write(self, *records: AuditRecord) -> None:
        """Return when the records are durable, or may wait.

        Raises:
            ServiceError: The database does not take them, and nothing is answered without.
        """
        waiting = [self._put(record) for record in records]
        if not self._must_write and self._away:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(*(asyncio.wrap_future(each.future) for each in waiting))
        except TimeoutError as error:
            # The database holds the connection and says nothing.
            if self._must_write:
                raise _unavailable() from error
            self._note_away(error)

    def find(self, answer_id: str, number: int) -> AuditRecord | None:
        """The record of one image of an answer, counted from 0; None where there is none.

        Raises:
            ServiceError: The database does not answer.
        """
        asked = (
            select(TRAIL)
            .where(TRAIL.c.answer_id == answer_id, TRAIL.c.action == "predict")
            .order_by(TRAIL.c.chain, TRAIL.c.number)
            .offset(number)
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(asked).mappings().first()
        return None if row is None else AuditRecord(**{name: row[name] for name in _FIELDS})

    def agreement(self) -> list[tuple[str, int, int]]:
        """Bundles, each with how many answers readers agreed with and how many they corrected.

        Of all that one caller says of an image of an answer, the last counts.

        Raises:
            ServiceError: The database does not answer.
        """
        newest_first = func.row_number().over(
            partition_by=(TRAIL.c.answer_id, TRAIL.c.input, TRAIL.c.caller),
            order_by=(TRAIL.c.at.desc(), TRAIL.c.number.desc()),
        )
        said = (
            select(TRAIL.c.model, TRAIL.c.outcome, newest_first.label("place"))
            .where(_IS_FEEDBACK)
            .subquery()
        )
        corrected = func.sum(case((said.c.outcome.startswith(CORRECTION), 1), else_=0))
        asked = (
            select(said.c.model, func.count() - corrected, corrected)
            .where(said.c.place == 1)
            .group_by(said.c.model)
            .order_by(said.c.model)
        )
        with self._reading() as connection:
            return [(str(m), int(a), int(c)) for m, a, c in connection.execute(asked)]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _unavailable() from error

    def close(self) -> None:
        """Write what waits, and stop; what cannot be written goes to the log."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(ANSWER_S)
        with self._changed:
            for each in self._waiting:
                self._lose(each.record)
                each.release()
            self._waiting.clear()
        self._engine.dispose()

    def _put(self, record: AuditRecord) -> _Waiting:
        waiting = _Waiting(record, Future())
        with self._changed:
            if len(self._waiting) < MOST_WAITING and not self._closing:
                self._waiting.append(waiting)
                self._changed.notify()
                return waiting
        if self._must_write:
            waiting.release(_unavailable())
        else:
            self._lose(record)
            waiting.release()
        return waiting

    def _lose(self, record: AuditRecord) -> None:
        self._log.error("audit record lost", **asdict(record))

    def _write_all(self) -> None:
        written = 0.0
        while (batch := self._next_batch(written + SPACING_S)) is not None:
            is_last = self._closing
            error = self._try([each.record for each in batch])
            written = time.monotonic()
            with self._changed:
                if error is None or self._must_write:
                    for _ in batch:
                        self._waiting.popleft().release(error)
                    continue
                # Nobody waits for a database that is away; the records do.
                for each in self._waiting:
                    each.release()
                if is_last:
                    return
                self._changed.wait_for(lambda: self._closing, RETRY_S)

    def _next_batch(self, due: float) -> list[_Waiting] | None:
        """The records that waited longest, which stay in their places; None at the end.

        While others are about to come, it waits for them until it is due by the monotonic clock.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            alone = lambda: self._closing or not self._in_flight()  # noqa: E731
            self._changed.wait_for(alone, max(0.0, due - time.monotonic()))
            return list(islice(self._waiting, BATCH)) or None

    def _try(self, records: list[AuditRecord]) -> ServiceError | None:
        try:
            if self._away:
                # What of the last transaction arrived is not known, so its chain ends there.
                self._begin_chain()
            self._append(records)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            self._note_away(error)
            return _unavailable()
        if self._away:
            self._log.info("audit back")
        self._away = False
        return None

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            self._log.error("audit away", reason=_reason(error))
        self._away = True

    def _begin_chain(self) -> None:
        """Begin a chain that names the newest record of all, so that a whole chain is missed."""
        try:
            METADATA.create_all(self._engine)
            # A trail of an earlier version lacks the newer ones.
            for index in TRAIL.indexes:
                index.create(self._engine, checkfirst=True)
        except SQLAlchemyError:
            # Another process has made it in the same moment, or it cannot be had.
            if not inspect(self._engine).has_table(TRAIL.name):
                raise
        newest = select(TRAIL.c.hash).order_by(TRAIL.c.at.desc(), TRAIL.c.number.desc()).limit(1)
        with self._engine.connect() as connection:
            previous = connection.execute(newest).scalar()
        self._chain, self._number, self._previous = str(uuid7()), 0, previous or _GENESIS
        self._append([AuditRecord("start", at=time.time())])

    def _append(self, records: list[AuditRecord]) -> None:
        rows, number, previous = [], self._number, self._previous
        for record in records:
            row = {"chain": self._chain, "number": number, **asdict(record), "previous": previous}
            row["hash"] = previous = hash_of(row)
            rows.append(row)
            number += 1
        with self._engine.begin() as connection:
            connection.execute(insert(TRAIL), rows)
        self._number, self._previous = number, previous


def hash_of(row: dict[str, object]) -> str:
    """The SHA-256 of a record as JSON with sorted names, all fields but the hash itself."""
    covered = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(orjson.dumps(covered, option=orjson.OPT_SORT_KEYS)).hexdigest()


def verify(url: str) -> Iterator[str]:
    """Go through a trail, and name the first broken record of each chain; nothing where all holds.

    Raises:
        StartError: The database cannot be read.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            yield from _broken(connection)
    except SQLAlchemyError as error:
        raise StartError(f"PNEUMO_AUDIT_URL: {_reason(error)}") from error
    finally:
        engine.dispose()


def _broken(connection: Connection) -> Iterator[str]:
    followed: dict[str, str] = {}
    chain, number, previous, holds = "", 0, "", True
    everything = select(TRAIL).order_by(TRAIL.c.chain, TRAIL.c.number)
    for found in connection.execute(everything, execution_options={"yield_per": BATCH}).mappings():
        row = {str(name): value for name, value in found.items()}
        if row["chain"] != chain:
            chain, number, previous, holds = row["chain"], 0, row["previous"], True
            followed[chain] = previous
        is_next = (row["number"], row["previous"], row["hash"]) == (number, previous, hash_of(row))
        if holds and not is_next:
            holds = False
            yield f"chain {chain}, record {number}: it was altered, taken out or put in."
        number, previous = row["number"] + 1, row["hash"]
    for chain, previous in followed.items():
        there = select(TRAIL.c.number).where(TRAIL.c.hash == previous)
        if previous != _GENESIS and connection.execute(there).first() is None:
            yield f"chain {chain}, record 0: the record that it follows is not there any more."


def _engine(url: str) -> Engine:
    try:
        postgresql = url.startswith("postgresql")
        limits = {
            # A server whose databases have no encoding would answer with bytes.
            "client_encoding": "utf8",
            "connect_timeout": CONNECT_S,
            "tcp_user_timeout": CONNECT_S * 1000,
            "options": f"-c statement_timeout={CONNECT_S}s",
        }
        engine = create_engine(
            url, pool_pre_ping=postgresql, connect_args=limits if postgresql else {}
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise StartError(f"PNEUMO_AUDIT_URL: {_reason(error)}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _make_durable)
    return engine


def _make_durable(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={CONNECT_S * 1000}")


def _reason(error: Exception) -> str:
    """What is wrong, without the statement, whose values are nobody's business."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())[:200]


def _unavailable() -> ServiceError:
    message = "The audit trail cannot be written. Try again later."
    return ServiceError(ProblemType.AUDIT_UNAVAILABLE, message)


_FIELDS = tuple(AuditRecord.__dataclass_fields__)
