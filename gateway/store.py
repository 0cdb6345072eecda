"""The durable queue: what was received, what is to be read, what was answered and to whom it goes.

Every state change is one transaction. A process that dies leaves work in the state ``waiting``,
and the next one takes it up; who works on what is therefore known in memory alone.
"""

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Engine, Select, create_engine, event, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from gateway import migrations
from gateway.config import Rule
from gateway.rules import Routed
from gateway.tables import Delivery, Instance, Job, Result

Task = TypeVar("Task", Job, Delivery)
BATCH = 1000
"""Of files that are erased in one step."""
QueueName = Literal["instances", "jobs", "deliveries"]
QUEUES = {kind.__tablename__: kind for kind in (Instance, Job, Delivery)}


class Store:
    """The queue in a database, SQLite or PostgreSQL, that one gateway writes to."""

    def __init__(self, url: str, state_dir: Path = Path()) -> None:
        self._engine = _engine(url)
        self._session = sessionmaker(self._engine, expire_on_commit=False)
        self.state_dir = state_dir
        # SQLite has one writer: to wait here is quicker than to ask it again and again.
        self._one_writer = threading.Lock()
        with self._engine.begin() as connection:
            migrations.upgrade(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # What comes in

    def knows(self, sop_uid: str, digest: str) -> bool:
        """Whether these very bytes are in the queue already."""
        same = Instance.sop_uid == sop_uid, Instance.digest == digest
        return bool(self._all(select(Instance.id).where(*same)))

    def accept(self, instance: Instance, outcome: Routed) -> Literal["new", "repeated", "conflict"]:
        """Queue what was received and the jobs that follow from it.

        The same UID with other bytes is kept beside the first, parked. When this returns, the
        object is in the queue on the disk.
        """
        with self._writing() as session:
            digests = select(Instance.digest).where(Instance.sop_uid == instance.sop_uid)
            known = set(session.scalars(digests))
            if instance.digest in known:
                return "repeated"
            if known:
                outcome = Routed("parked", "The SOP Instance UID is that of another object.")
            self._apply(session, instance, outcome)
        return "conflict" if known else "new"

    def not_read(self, row_id: int | None = None) -> Sequence[Instance]:
        """The instances that no rule took, one or all, less those with another object's UID."""
        first = select(func.min(Instance.id)).group_by(Instance.sop_uid)
        query = select(Instance).where(
            Instance.state != "routed", Instance.id.in_(first), Instance.size > 0
        )
        return self._all(query if row_id is None else query.where(Instance.id == row_id))

    def route(self, instance: Instance, outcome: Routed) -> None:
        """Write down what became of an instance that is in the queue."""
        with self._writing() as session:
            self._apply(session, instance, outcome)

    def _apply(self, session: Session, instance: Instance, outcome: Routed) -> None:
        session.add(instance)
        instance.state, instance.reason = outcome.state, outcome.reason
        instance.series_uid, instance.facts = outcome.series_uid, outcome.facts
        if outcome.rule:
            instance.rule = outcome.rule.name
            session.flush()
            self._queue(session, instance, outcome.rule)

    def _queue(self, session: Session, instance: Instance, rule: Rule) -> None:
        is_series = rule.unit == "series"
        uid = instance.series_uid if is_series else instance.sop_uid
        frames = [0] if is_series else range(1, (instance.facts or {})["frames"] + 1)
        same = select(Job).where(Job.unit == rule.unit, Job.uid == uid, Job.rule == rule.name)
        known = {job.frame: job for job in session.scalars(same)}
        for frame in frames:
            job = known.get(frame) or Job(
                unit=rule.unit,
                uid=uid,
                frame=frame,
                rule=rule.name,
                instance_id=instance.id,
                calling=instance.calling,
                arrivals=0,
                last_arrival_at=instance.received_at,
            )
            session.add(job)
            if is_series:
                # Each slice puts the series off; one that is late opens it again.
                job.arrivals += 1
                job.last_arrival_at = instance.received_at
                job.state, job.attempts, job.due_at = "waiting", 0, time.time() + rule.quiet_s
                job.first_try_at = job.problem = None

    # What is to be done

    def due(
        self, kind: type[Task], limit: int, busy: Collection[int] = (), to: str | None = None
    ) -> Sequence[Task]:
        """What waits and may be tried now, longest first; without what is in work."""
        query = select(kind).where(kind.state == "waiting", kind.due_at <= time.time())
        if to is not None:
            query = query.where(Delivery.destination == to)
        return self._all(query.where(kind.id.not_in(list(busy))).order_by(kind.due_at).limit(limit))

    def instances_of(self, job: Job) -> Sequence[Instance]:
        """The instances that a job is about."""
        query = select(Instance).where(Instance.state == "routed")
        if job.unit == "image":
            return self._all(query.where(Instance.id == job.instance_id))
        same = query.where(Instance.series_uid == job.uid, Instance.rule == job.rule)
        return self._all(same.order_by(Instance.id))

    def arrived(self, series_uid: str) -> int:
        """How many instances of a series have come, whatever the rules said of them."""
        count = select(func.count()).where(Instance.series_uid == series_uid)
        return int(self._all(count)[0])

    def results_of(self, job: Job) -> Sequence[Result]:
        """The versions of a job's result, oldest first."""
        return self._all(select(Result).where(Result.job_id == job.id).order_by(Result.version))

    def finish_job(self, job: Job, result: Result | None, destinations: Sequence[str]) -> None:
        """Keep a result and queue its deliveries, once; the job is done if nothing came since."""
        with self._writing() as session:
            if result and session.get(Result, result.key) is None:
                session.add(result)
                session.add_all(
                    Delivery(result_key=result.key, destination=name) for name in destinations
                )
            is_complete = update(Job).where(Job.id == job.id, Job.arrivals == job.arrivals)
            session.execute(is_complete.values(state="done", problem=None))

    def finish_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """The destination has the results."""
        self._set(deliveries, state="done", done_at=time.time(), problem=None)

    def postpone(self, task: Job | Delivery, due_at: float, problem: str) -> None:
        """Try again later."""
        first = task.first_try_at or time.time()
        attempts = task.attempts + 1
        self._set([task], due_at=due_at, problem=problem, first_try_at=first, attempts=attempts)

    def park(self, task: Job | Delivery, problem: str) -> None:
        """Keep for a person: no repetition will help."""
        self._set([task], state="parked", problem=problem, attempts=task.attempts + 1)

    def _set(self, tasks: Sequence[Job | Delivery], **values: object) -> None:
        if not tasks:
            return
        kind, ids = type(tasks[0]), [task.id for task in tasks]
        with self._writing() as session:
            # Nothing that is done is undone by a worker that comes late.
            same = update(kind).where(kind.id.in_(ids), kind.state == "waiting")
            session.execute(same.values(**values))

    # What a person sees and does

    def replay(self, queue: Literal["jobs", "deliveries"], row_id: int | None = None) -> int:
        """Queue what is parked once more, one of them or all; how many there were."""
        kind = QUEUES[queue]
        statement = update(kind).where(kind.state == "parked")
        if row_id is not None:
            statement = statement.where(kind.id == row_id)
        again = {"state": "waiting", "attempts": 0, "due_at": time.time()}
        again |= {"first_try_at": None, "problem": None}
        with self._writing() as session:
            return int(session.execute(statement.values(**again)).rowcount)  # type: ignore[attr-defined]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows each table has in each state."""
        return {
            name: dict(self._rows(select(kind.state, func.count()).group_by(kind.state)))
            for name, kind in QUEUES.items()
        }

    def waiting(self) -> dict[str, Sequence[tuple[str, int, float]]]:
        """For each calling title and each destination how much waits, and since when."""
        jobs = select(Job.calling, func.count(), func.min(Job.last_arrival_at))
        deliveries = select(Delivery.destination, func.count(), func.min(Result.created_at))
        deliveries = deliveries.join(Delivery.result).where(Delivery.state == "waiting")
        return {
            "calling": self._rows(jobs.where(Job.state == "waiting").group_by(Job.calling)),
            "destination": self._rows(deliveries.group_by(Delivery.destination)),
        }

    def listing(self, queue: QueueName, state: str, limit: int) -> list[dict[str, Any]]:
        """The rows of one state, newest first, by the names of their columns."""
        kind = QUEUES[queue]
        query = select(kind).where(kind.state == state).order_by(kind.id.desc())
        rows = self._all(query.limit(limit))
        return [{c.key: getattr(row, c.key) for c in kind.__table__.columns} for row in rows]

    def files_of(self, ids: Collection[int]) -> list[Path]:
        """The files of instances, by the numbers of these."""
        paths = self._all(select(Instance.path).where(Instance.id.in_(ids)))
        return [self.state_dir / path for path in paths]

    # What may go

    def erasable(self) -> Sequence[Instance]:
        """Received files whose jobs are all done, oldest first."""
        unfinished = select(Job.uid).where(Job.state != "done")
        query = select(Instance).where(
            Instance.sop_uid.not_in(unfinished),
            func.coalesce(Instance.series_uid, "").not_in(unfinished),
            Instance.size > 0,
        )
        return self._all(query.order_by(Instance.id).limit(BATCH))

    def sent(self) -> Sequence[Result]:
        """Results that every destination has, oldest first."""
        unsent = select(Delivery.result_key).where(Delivery.state != "done")
        query = select(Result).where(Result.key.not_in(unsent), Result.size > 0)
        return self._all(query.order_by(Result.created_at).limit(BATCH))

    def bytes_held(self) -> int:
        """The size of all files together, received and made."""
        sums = [self._all(select(func.sum(kind.size))) for kind in (Instance, Result)]
        return sum(int(held or 0) for [held] in sums)

    def mark_erased(self, received: Sequence[Instance], sent: Sequence[Result]) -> None:
        """Remember the UIDs and keys alone, so that nothing erased is ever done twice."""
        with self._writing() as session:
            for instance in received:
                session.add(instance)
                instance.size, instance.facts = 0, None
            for result in sent:
                session.add(result)
                result.size, result.bundle = 0, ""

    # The database

    def _all(self, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        with self._session() as session:
            return session.scalars(query).all()

    def _rows(self, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        with self._session() as session:
            return session.execute(query).all()

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._one_writer, self._session.begin() as session:
            yield session


def _engine(url: str) -> Engine:
    """Connect so that what is committed is on the disk, and a database that came back is used."""
    pool: dict[str, Any] = {"pool_size": 20, "max_overflow": 20, "hide_parameters": True}
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, **pool)
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30}, **pool)

    @event.listens_for(engine, "connect")
    def _durable(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    return engine
