"""The durable queue: what was received, what is to be read, what was answered and to whom it goes.

Every state change is one transaction. A process that dies leaves work in the state ``waiting``,
and the next one takes it up; who works on what is therefore known in memory alone.
"""

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    Select,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway import migrations
from gateway.config import Rule
from gateway.tables import deliveries, instances, jobs, objects, results

Row = RowMapping
Queue = Literal["jobs", "deliveries"]
_QUEUES = {"jobs": jobs, "deliveries": deliveries}


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that is on the disk and not yet in the queue; ``digest`` is of its data set.

    Its path, like all that the queue keeps, is relative to the state folder.
    """

    sop_uid: str
    digest: str
    path: str
    size: int
    source: Literal["dimse", "stow", "folder"]
    calling: str = ""
    called: str = ""


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of an instance: ``rule`` reads it, or ``state`` and ``reason`` say why none."""

    state: Literal["routed", "ignored", "parked"]
    reason: str | None = None
    rule: Rule | None = None
    series_uid: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A DICOM object of a result, on the disk."""

    sop_uid: str
    sop_class: str
    study_uid: str
    series_uid: str
    path: str


@dataclass(frozen=True, slots=True)
class Result:
    """What is handed over when a job is done."""

    key: str
    version: int
    bundle_path: str
    objects: tuple[ResultObject, ...]


class Store:
    """The queue in a database, SQLite or PostgreSQL."""

    def __init__(self, url: str, state_dir: Path = Path()) -> None:
        self._engine = _engine(url)
        self._state_dir = state_dir
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite has one writer: to wait here is quicker than to ask it again and again.
        self._one_writer = threading.Lock()
        with self._writing() as connection:
            migrations.upgrade(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def file(self, path: str) -> Path:
        """Where a file of the queue is, given its path relative to the state folder."""
        return self._state_dir / path

    # What comes in

    def accept(self, arrival: Arrival) -> Literal["new", "repeated", "conflict"]:
        """Queue what was received; the same UID with other bytes is kept beside the first, parked.

        When this returns, the object is in the queue on the disk.
        """
        with self._writing() as connection:
            if not self._is_sqlite:  # SQLite has one writer; here one UID has one.
                lock = func.pg_advisory_xact_lock(func.hashtext(arrival.sop_uid))
                connection.execute(select(lock))
            known = connection.execute(
                select(instances.c.digest).where(instances.c.sop_uid == arrival.sop_uid)
            ).scalars()
            digests = set(known)
            if arrival.digest in digests:
                return "repeated"
            conflicts = bool(digests)
            row = {
                **{name: getattr(arrival, name) for name in Arrival.__slots__},
                "received_at": time.time(),
                "state": "parked" if conflicts else "received",
                "reason": "The SOP Instance UID is that of another object." if conflicts else None,
            }
            done = connection.execute(self._insert(instances).values(row).on_conflict_do_nothing())
        if not done.rowcount:
            return "repeated"
        return "conflict" if conflicts else "new"

    def knows(self, sop_uid: str, digest: str) -> bool:
        """Whether these very bytes are in the queue already."""
        query = select(instances.c.id).where(
            instances.c.sop_uid == sop_uid, instances.c.digest == digest
        )
        return bool(self._rows(query))

    def has_sent(self, sop_uid: str) -> bool:
        """Whether an object of this UID is a result of ours."""
        return bool(self._rows(select(objects.c.sop_uid).where(objects.c.sop_uid == sop_uid)))

    def received(self, limit: int) -> Sequence[Row]:
        """The instances that no rule has been asked about yet, oldest first."""
        query = select(instances).where(instances.c.state == "received")
        return self._rows(query.order_by(instances.c.id).limit(limit))

    def route(self, outcomes: Sequence[tuple[Row, Routed]]) -> None:
        """Write down what became of instances, and queue the jobs that follow from it."""
        with self._writing() as connection:
            for row, outcome in outcomes:
                connection.execute(
                    update(instances)
                    .where(instances.c.id == row["id"])
                    .values(
                        state=outcome.state,
                        reason=outcome.reason,
                        rule=outcome.rule and outcome.rule.name,
                        series_uid=outcome.series_uid,
                        facts=outcome.facts,
                    )
                )
                if outcome.rule:
                    self._queue(connection, row, outcome, outcome.rule)

    def _queue(self, connection: Connection, row: Row, outcome: Routed, rule: Rule) -> None:
        now = time.time()
        job = {
            "rule": rule.name,
            "unit": rule.unit,
            "instance_id": row["id"],
            "calling": row["calling"],
            "arrivals": 1,
            "last_arrival_at": row["received_at"],
            "state": "waiting",
            "attempts": 0,
            "due_at": now,
        }
        if rule.unit == "image":
            frames = range(1, int(outcome.facts["frames"]) + 1)
            new = [{**job, "uid": row["sop_uid"], "frame": frame} for frame in frames]
            connection.execute(self._insert(jobs).on_conflict_do_nothing(), new)
            return
        # Each slice puts the series off; one that is late opens it again.
        statement = self._insert(jobs).values(
            {**job, "uid": outcome.series_uid, "frame": 0, "due_at": now + rule.quiet_s}
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["unit", "uid", "frame", "rule"],
                set_={
                    "arrivals": jobs.c.arrivals + 1,
                    "last_arrival_at": row["received_at"],
                    "state": "waiting",
                    "attempts": 0,
                    "due_at": now + rule.quiet_s,
                    "first_try_at": None,
                    "problem": None,
                },
            )
        )

    # What is to be done

    def due(
        self, queue: Queue, limit: int, busy: Collection[int] = (), destination: str | None = None
    ) -> Sequence[Row]:
        """What waits and may be tried now, longest first; without what is in work."""
        table = _QUEUES[queue]
        query = select(table).where(table.c.state == "waiting", table.c.due_at <= time.time())
        if destination is not None:
            query = query.where(deliveries.c.destination == destination)
        if busy:
            query = query.where(table.c.id.not_in(list(busy)))
        return self._rows(query.order_by(table.c.due_at).limit(limit))

    def instances_of(self, job: Row) -> Sequence[Row]:
        """The instances that a job is about."""
        query = select(instances).where(instances.c.state == "routed")
        if job["unit"] == "image":
            return self._rows(query.where(instances.c.id == job["instance_id"]))
        return self._rows(
            query.where(
                instances.c.series_uid == job["uid"], instances.c.rule == job["rule"]
            ).order_by(instances.c.id)
        )

    def result(self, key: str) -> Row | None:
        """The result with this key."""
        rows = self._rows(select(results).where(results.c.key == key))
        return rows[0] if rows else None

    def latest_result(self, job_id: int) -> tuple[int, ResultObject | None]:
        """The number of the latest version of a job's result, 0 for none, and its report."""
        query = (
            select(results.c.key, results.c.version)
            .where(results.c.job_id == job_id)
            .order_by(results.c.version.desc())
            .limit(1)
        )
        rows = self._rows(query)
        if not rows:
            return 0, None
        report = next(iter(self.objects_of(rows[0]["key"])), None)
        return rows[0]["version"], report

    def objects_of(self, key: str) -> tuple[ResultObject, ...]:
        """The DICOM objects of a result, the report first; their paths are whole."""
        rows = self._rows(select(objects).where(objects.c.result_key == key))
        found = [
            ResultObject(
                **{name: row[name] for name in ResultObject.__slots__}
                | {"path": str(self.file(row["path"]))}
            )
            for row in rows
        ]
        return tuple(sorted(found, key=lambda o: "/sr-" not in o.path))

    def finish_job(self, job: Row, result: Result | None, destinations: Sequence[str]) -> None:
        """Keep a result and queue its deliveries, once; the job is done if nothing came since."""
        with self._writing() as connection:
            if result:
                self._keep(connection, job, result, destinations)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job["id"], jobs.c.arrivals == job["arrivals"])
                .values(state="done", problem=None)
            )

    def _keep(
        self, connection: Connection, job: Row, result: Result, destinations: Sequence[str]
    ) -> None:
        now = time.time()
        kept = connection.execute(
            self._insert(results)
            .values(
                key=result.key,
                job_id=job["id"],
                version=result.version,
                created_at=now,
                last_arrival_at=job["last_arrival_at"],
                bundle_path=result.bundle_path,
            )
            .on_conflict_do_nothing()
        )
        if not kept.rowcount:
            return
        rows = [
            {**{name: getattr(o, name) for name in o.__slots__}, "result_key": result.key}
            for o in result.objects
        ]
        connection.execute(insert(objects), rows)
        new = {"result_key": result.key, "state": "waiting", "attempts": 0, "due_at": now}
        connection.execute(insert(deliveries), [{**new, "destination": d} for d in destinations])

    def finish_delivery(self, delivery: Row) -> None:
        """The destination has the result."""
        self._set("deliveries", delivery["id"], state="done", done_at=time.time(), problem=None)

    def postpone(self, queue: Queue, row: Row, due_at: float, problem: str) -> None:
        """Try again later."""
        first = row["first_try_at"] or time.time()
        values = {"due_at": due_at, "problem": problem, "first_try_at": first}
        self._set(queue, row["id"], attempts=row["attempts"] + 1, **values)

    def park(self, queue: Queue, row: Row, problem: str) -> None:
        """Keep for a person: no repetition will help."""
        self._set(queue, row["id"], state="parked", problem=problem, attempts=row["attempts"] + 1)

    def park_all_but(self, destinations: Collection[str]) -> int:
        """Park the deliveries to other destinations, which nobody sends to; how many there are."""
        with self._writing() as connection:
            statement = (
                update(deliveries)
                .where(
                    deliveries.c.state == "waiting",
                    deliveries.c.destination.not_in(list(destinations)),
                )
                .values(state="parked", problem="Its destination is no longer configured.")
            )
            return connection.execute(statement).rowcount

    def _set(self, queue: Queue, row_id: int, **values: object) -> None:
        table = _QUEUES[queue]
        with self._writing() as connection:
            # Nothing that is done is undone by a worker that comes late.
            connection.execute(
                update(table)
                .where(table.c.id == row_id, table.c.state == "waiting")
                .values(**values)
            )

    # What a person sees and does

    def replay(self, queue: Queue | Literal["instances"], row_id: int | None = None) -> int:
        """Queue what is parked once more, one of them or all; of instances also what was ignored.

        An object whose SOP Instance UID is another's stays parked.
        """
        if queue == "instances":
            first = select(func.min(instances.c.id)).group_by(instances.c.sop_uid)
            statement = (
                update(instances)
                .where(instances.c.state.in_(["parked", "ignored"]), instances.c.id.in_(first))
                .values(state="received", reason=None)
            )
            table = instances
        else:
            table = _QUEUES[queue]
            values = {"state": "waiting", "attempts": 0, "due_at": time.time()}
            statement = (
                update(table)
                .where(table.c.state == "parked")
                .values(**values, first_try_at=None, problem=None)
            )
        if row_id is not None:
            statement = statement.where(table.c.id == row_id)
        with self._writing() as connection:
            return connection.execute(statement).rowcount

    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows each table has in each state."""
        return {
            table.name: {
                row["state"]: row["n"]
                for row in self._rows(
                    select(table.c.state, func.count().label("n")).group_by(table.c.state)
                )
            }
            for table in (instances, jobs, deliveries)
        }

    def waiting_by(self, column: Literal["calling", "destination"]) -> Sequence[Row]:
        """How much waits for each calling title or destination, and since when."""
        table, since = {
            "calling": (jobs, jobs.c.last_arrival_at),
            "destination": (
                deliveries,
                select(results.c.created_at)
                .where(results.c.key == deliveries.c.result_key)
                .scalar_subquery(),
            ),
        }[column]
        name = table.c[column]
        return self._rows(
            select(name.label("name"), func.count().label("n"), func.min(since).label("since"))
            .where(table.c.state == "waiting")
            .group_by(name)
        )

    def listing(self, queue: Queue | Literal["instances"], state: str, limit: int) -> Sequence[Row]:
        """The rows of one state, newest first."""
        table = instances if queue == "instances" else _QUEUES[queue]
        query = select(table).where(table.c.state == state)
        return self._rows(query.order_by(table.c.id.desc()).limit(limit))

    # What may go

    def erasable(self, before: float) -> Iterator[Row]:
        """Received files whose jobs are all done, oldest first, received before a time."""
        unfinished = select(jobs.c.uid).where(jobs.c.state != "done")
        query = select(instances.c.id, instances.c.path, instances.c.size).where(
            instances.c.received_at < before,
            instances.c.state.in_(["routed", "ignored", "parked"]),
            instances.c.sop_uid.not_in(unfinished),
            func.coalesce(instances.c.series_uid, "").not_in(unfinished),
            instances.c.size > 0,
        )
        yield from self._rows(query.order_by(instances.c.id).limit(1000))

    def sent_before(self, before: float) -> Sequence[Row]:
        """The files of results that every destination has had since before a time."""
        open_ = select(deliveries.c.result_key).where(
            (deliveries.c.state != "done") | (deliveries.c.done_at >= before)
        )
        keys = results.c.key.not_in(open_)
        query = select(results.c.key, results.c.bundle_path).where(
            keys, results.c.created_at < before, results.c.bundle_path != ""
        )
        return self._rows(query.limit(1000))

    def bytes_held(self) -> int:
        """The size of all received files together."""
        with self._engine.connect().execution_options(readonly=True) as connection:
            return int(connection.execute(select(func.sum(instances.c.size))).scalar() or 0)

    def mark_erased(self, ids: Sequence[int], keys: Sequence[str]) -> None:
        """Remember the UIDs and keys alone, so that nothing erased is ever done twice."""
        with self._writing() as connection:
            erased = update(instances).where(instances.c.id.in_(ids))
            connection.execute(erased.values(size=0, facts=None))
            sent = update(results).where(results.c.key.in_(keys))
            connection.execute(sent.values(bundle_path=""))

    def paths(self) -> set[str]:
        """All received files that are in the queue and have not been erased."""
        query = select(instances.c.path).where(instances.c.size > 0)
        return {row["path"] for row in self._rows(query)}

    # The database

    def _rows(self, query: Select[Any]) -> Sequence[Row]:
        with self._engine.connect().execution_options(readonly=True) as connection:
            return connection.execute(query).mappings().all()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if not self._is_sqlite:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._one_writer, self._engine.begin() as connection:
            yield connection

    def _insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)


def _engine(url: str) -> Engine:
    """Connect so that what is committed is on the disk, and a database that came back is used."""
    if not url.startswith("sqlite"):
        return create_engine(
            url, pool_pre_ping=True, pool_size=20, max_overflow=20, hide_parameters=True
        )
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, connect_args={"timeout": 30}, pool_size=20, max_overflow=20, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _durable(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # To take the lock first is to never fail in the middle for want of it.
        reads = connection.get_execution_options().get("readonly")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine
