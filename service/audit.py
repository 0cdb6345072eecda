"""The audit trail: who had what read by which model, append-only, in a database of the operator's.

Each process writes a chain of records. A record's hash covers its fields and the hash before it,
so one that was altered, taken out or put in is found. Records never hold anything of the patient.
"""

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import islice

import orjson
import sqlalchemy as sa
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
_FIELDS = [field.name for field in fields(AuditRecord)]

METADATA = sa.MetaData()
TRAIL = sa.Table(
    "pneumoscope_audit",
    METADATA,
    sa.Column("chain", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # Seconds since 1970.
    sa.Column("at", sa.Float(53), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("caller", sa.String(200), nullable=False),
    sa.Column("peer", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(200), nullable=False),
    sa.Column("answer_id", sa.String(36), nullable=False),
    sa.Column("input", sa.String(64), nullable=False),
    sa.Column("model", sa.String(MODEL_LENGTH), nullable=False),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.Column("outcome", sa.String(OUTCOME_LENGTH), nullable=False),
    sa.Column("latency_ms", sa.Float(53), nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("pneumoscope_audit_by_answer", "answer_id"),
    sa.Index("pneumoscope_audit_by_hash", "hash"),
)
_IS_FEEDBACK = TRAIL.c.action == "feedback"
# Few of many records, which are counted for the page.
sa.Index(
    "pneumoscope_audit_feedback",
    TRAIL.c.model,
    sqlite_where=_IS_FEEDBACK,
    postgresql_where=_IS_FEEDBACK,
)


class AuditTrail:
    """Writes the records of one process from a thread of its own, as many at once as wait.

    With ``must_write``, what cannot be written is not answered. Otherwise it waits in memory for
    the database, and each record that does not fit goes to the log. While ``in_flight`` images are
    in work, their records are waited for a little. Raises StartError where the database cannot be
    used.
    """

    def __init__(
        self, url: str, log: Logger, *, must_write: bool, in_flight: Callable[[], int] = lambda: 0
    ) -> None:
        self._engine = _engine(url)
        self._log = log
        self._must_write = must_write
        self._in_flight = in_flight
        self._waiting: deque[tuple[AuditRecord, Future[None]]] = deque()
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

        Raises ServiceError where the database does not take them, and nothing is answered without.
        """
        futures = [self._put(record) for record in records]
        if not self._must_write and self._away:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(*map(asyncio.wrap_future, futures))
        except TimeoutError as error:
            # The database holds the connection and says nothing.
            if self._must_write:
                raise _unavailable() from error
            self._note_away(error)

    def find(self, answer_id: str, number: int) -> AuditRecord | None:
        """The record of one image of an answer, counted from 0; None where there is none."""
        asked = (
            sa.select(*(TRAIL.c[name] for name in _FIELDS))
            .where(TRAIL.c.answer_id == answer_id, TRAIL.c.action == "predict")
            .order_by(TRAIL.c.chain, TRAIL.c.number)
            .offset(number)
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(asked).first()
        return None if row is None else AuditRecord(*row)

    def agreement(self) -> list[tuple[str, int, int]]:
        """Bundles, each with how many answers readers agreed with and how many they corrected.

        Of all that one caller says of an image of an answer, the last counts.
        """
        newest_first = sa.func.row_number().over(
            partition_by=(TRAIL.c.answer_id, TRAIL.c.input, TRAIL.c.caller),
            order_by=(TRAIL.c.at.desc(), TRAIL.c.number.desc()),
        )
        said = (
            sa.select(TRAIL.c.model, TRAIL.c.outcome, newest_first.label("place"))
            .where(_IS_FEEDBACK)
            .subquery()
        )
        corrected = sa.func.sum(sa.case((said.c.outcome.startswith(CORRECTION), 1), else_=0))
        asked = (
            sa.select(said.c.model, sa.func.count() - corrected, corrected)
            .where(said.c.place == 1)
            .group_by(said.c.model)
            .order_by(said.c.model)
        )
        with self._reading() as connection:
            return [(str(m), int(a), int(c)) for m, a, c in connection.execute(asked)]

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
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
            for record, future in self._waiting:
                self._lose(record)
                _release(future)
            self._waiting.clear()
        self._engine.dispose()

    def _put(self, record: AuditRecord) -> "Future[None]":
        future: Future[None] = Future()
        with self._changed:
            if len(self._waiting) < MOST_WAITING and not self._closing:
                self._waiting.append((record, future))
                self._changed.notify()
                return future
        if not self._must_write:
            self._lose(record)
        _release(future, _unavailable() if self._must_write else None)
        return future

    def _lose(self, record: AuditRecord) -> None:
        self._log.error("audit record lost", **asdict(record))

    def _write_all(self) -> None:
        written = 0.0
        while batch := self._next_batch(written + SPACING_S):
            is_last = self._closing
            error = self._try(batch)
            written = time.monotonic()
            with self._changed:
                if error is None or self._must_write:
                    for _ in batch:
                        _release(self._waiting.popleft()[1], error)
                    continue
                # Nobody waits for a database that is away; the records do.
                for _, future in self._waiting:
                    _release(future)
                if is_last:
                    return
                self._changed.wait_for(lambda: self._closing, RETRY_S)

    def _next_batch(self, due: float) -> list[AuditRecord]:
        """The records that waited longest, which stay in their places; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            # While others are about to come, it waits for them until it is due.
            wait_s = max(0.0, due - time.monotonic())
            self._changed.wait_for(lambda: self._closing or not self._in_flight(), wait_s)
            return [record for record, _ in islice(self._waiting, BATCH)]

    def _try(self, records: Sequence[AuditRecord]) -> ServiceError | None:
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
            if not sa.inspect(self._engine).has_table(TRAIL.name):
                raise
        newest = sa.select(TRAIL.c.hash).order_by(TRAIL.c.at.desc(), TRAIL.c.number.desc()).limit(1)
        with self._engine.connect() as connection:
            previous = connection.execute(newest).scalar()
        self._chain, self._number, self._previous = str(uuid7()), 0, previous or _GENESIS
        self._append([AuditRecord("start", at=time.time())])

    def _append(self, records: Sequence[AuditRecord]) -> None:
        rows, previous = [], self._previous
        for number, record in enumerate(records, self._number):
            row = {"chain": self._chain, "number": number, **asdict(record), "previous": previous}
            row["hash"] = previous = hash_of(row)
            rows.append(row)
        with self._engine.begin() as connection:
            connection.execute(sa.insert(TRAIL), rows)
        self._number, self._previous = self._number + len(rows), previous


def _release(future: "Future[None]", error: Exception | None = None) -> None:
    """Let whoever waits until a record is durable go on, once, unless he has gone away."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def hash_of(row: dict[str, object]) -> str:
    """The SHA-256 of a record as JSON with sorted names, all fields but the hash itself."""
    covered = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(orjson.dumps(covered, option=orjson.OPT_SORT_KEYS)).hexdigest()


def verify(url: str) -> Iterator[str]:
    """Go through a trail, and name the first broken record of each chain; nothing where all holds.

    Raises StartError where the database cannot be read.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            yield from _broken(connection)
    except SQLAlchemyError as error:
        raise StartError(f"PNEUMO_AUDIT_URL: {_reason(error)}") from error
    finally:
        engine.dispose()


def _broken(connection: sa.Connection) -> Iterator[str]:
    followed: dict[str, str] = {}
    chain, number, previous, holds = "", 0, "", True
    everything = sa.select(TRAIL).order_by(TRAIL.c.chain, TRAIL.c.number)
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
        there = sa.select(TRAIL.c.number).where(TRAIL.c.hash == previous)
        if previous != _GENESIS and connection.execute(there).first() is None:
            yield f"chain {chain}, record 0: the record that it follows is not there any more."


def _engine(url: str) -> sa.Engine:
    limits = {
        # A server whose databases have no encoding would answer with bytes.
        "client_encoding": "utf8",
        "connect_timeout": CONNECT_S,
        "tcp_user_timeout": CONNECT_S * 1000,
        "options": f"-c statement_timeout={CONNECT_S}s",
    }
    try:
        if url.startswith("postgresql"):
            return sa.create_engine(url, pool_pre_ping=True, connect_args=limits)
        engine = sa.create_engine(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise StartError(f"PNEUMO_AUDIT_URL: {_reason(error)}") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _make_durable)
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
