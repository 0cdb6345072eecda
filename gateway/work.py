"""What is done with the queue: services read, and destinations are sent to."""

import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from pydicom.dataset import Dataset
from sqlalchemy.exc import SQLAlchemyError

from contract.fhir import Origin, report_bundle
from gateway.activation import activation_map, secondary_capture
from gateway.audit import Auditor
from gateway.config import Config, Destination, Rule
from gateway.destinations import Commitments, DimseSender, sender
from gateway.errors import InvalidConfiguration, Permanent, Transient, Unacceptable
from gateway.headers import frames_of
from gateway.intake import write_durably
from gateway.metrics import REPORTS, RETRIES, TIME_TO_REPORT
from gateway.report import Source, encoded, structured_report
from gateway.service import Reading, Services, evenly_spaced, in_order, of_series
from gateway.store import Store
from gateway.tables import Delivery, Instance, Job, Result, result_key
from gateway.worker import REST_S, Worker

_BATCH = 8
_COUNT_PATIENCE_S = 600.0
_COUNT_AGAIN_S = 5.0
_LINGER_S = 5.0

log = structlog.get_logger()


class TaskWorker(Worker):
    """Tries what is queued, until it is done or no repetition will help."""

    def __init__(self, name: str, config: Config, store: Store) -> None:
        super().__init__(name)
        self._config = config
        self._store = store

    def attempt(self, task: Job | Delivery, action: Callable[[], None]) -> bool:
        """Do it; else put it off, or park it. Whether another may be tried at once."""
        queue = task.__tablename__
        try:
            action()
        except SQLAlchemyError as error:  # what was tried cannot be counted either
            log.warning("cannot work", queue=queue, id=task.id, error=type(error).__name__)
            return False
        except Exception as error:
            problem = _problem(error, self._config)
            if isinstance(problem, Transient) and not self._is_given_up(task, problem):
                RETRIES.labels(queue).inc()
                self._store.postpone(task, time.time() + self._wait_s(task, problem), str(problem))
                return False
            log.warning("parked", queue=queue, id=task.id, problem=str(problem), exc_info=True)
            self._store.park(task, str(problem))
        return True

    def _is_given_up(self, task: Job | Delivery, problem: Transient) -> bool:
        since = task.first_try_at or time.time()
        is_old = time.time() - since > self._config.give_up_after_h * 3600
        return is_old or (problem.attempts is not None and task.attempts + 1 >= problem.attempts)

    def _wait_s(self, task: Job | Delivery, problem: Transient) -> float:
        """Twice as long each time, or what the peer asks for, up to a limit; never in step."""
        longest: float = min(self._config.max_backoff_s, 2.0 ** min(task.attempts, 30))
        wait_s: float = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        asked_s = min(problem.retry_after_s or 0, self._config.max_backoff_s)
        return max(wait_s, asked_s)


class Reader(TaskWorker):
    """Has jobs read by the services, several at once."""

    def __init__(
        self, config: Config, store: Store, services: Services, on_result: Callable[[], None]
    ) -> None:
        super().__init__("reader", config, store)
        self._services = services
        self._rules = {rule.name: rule for rule in config.rules}
        self._pool = ThreadPoolExecutor(config.service.workers, thread_name_prefix="reader")
        self._reading: dict[Future[None], int] = {}
        self._on_result = on_result

    def step(self) -> bool:
        """Give some jobs to the pool; whether there were any."""
        workers = self._config.service.workers
        if len(self._reading) == workers:
            wait(self._reading, return_when=FIRST_COMPLETED)
        self._reading = {job: id_ for job, id_ in self._reading.items() if not job.done()}
        jobs = self._store.due(Job, workers - len(self._reading), self._reading.values())
        for job in jobs:
            self._reading[self._pool.submit(self._read, job)] = job.id
        return bool(jobs)

    def close(self) -> None:
        """Finish the jobs at hand."""
        super().close()
        self._pool.shutdown()

    def _read(self, job: Job) -> None:
        if not self.attempt(job, partial(self._finish, job)):
            time.sleep(REST_S)  # the others need the same service
        self._on_result()

    def _finish(self, job: Job) -> None:
        rule = self._rules.get(job.rule)
        if rule is None:
            raise Permanent("Its rule is no longer configured.")
        instances = self._store.instances_of(job)
        if not instances or not all(each.size for each in instances):
            raise Permanent("What was received has been erased.")
        if rule.unit == "image":
            read = [self._source(instances[0], job.frame)]
            reading = self._ask(read[0], rule)
            key = result_key("image", job.uid, str(job.frame), reading.digest)
        else:
            self._wait_for_all(job, rule, instances)
            reading, read = self._read_series(instances, rule)
            uids = sorted(each.sop_uid for each in instances)
            key = result_key("series", job.uid, *uids, reading.digest)
        versions = self._store.results_of(job)
        is_known = any(version.key == key for version in versions)
        result = None if is_known else self._write(job, key, reading, read, versions)
        self._store.finish_job(job, result, rule.destinations)
        REPORTS.labels(rule.name).inc()

    def _source(self, instance: Instance, frame: int) -> Source:
        return Source(self._store.state_dir / instance.path, frame)

    def _ask(self, of: Source, rule: Rule) -> Reading:
        heatmap = rule.unit == "image" and (rule.secondary_capture or rule.activation_map)
        return self._services.predict(of.file, of.frame, model=rule.model, heatmap=heatmap)

    def _wait_for_all(self, job: Job, rule: Rule, instances: Sequence[Instance]) -> None:
        """Ask the archive how many instances there are, where the rule wants it and for a while."""
        if not rule.count_from or time.time() - job.last_arrival_at > _COUNT_PATIENCE_S:
            return
        [archive] = (d for d in self._config.destinations if d.name == rule.count_from)
        own_title = self._config.dicom.ae_titles[0]
        with closing(DimseSender(archive, own_title, Commitments())) as asked:
            count = asked.count((instances[0].facts or {})["study_uid"], job.uid)
        arrived = self._store.arrived(job.uid)
        if count is not None and count > arrived:
            problem = f"{arrived} of {count} instances have arrived"
            raise Transient(problem, retry_after_s=_COUNT_AGAIN_S)

    def _read_series(
        self, instances: Sequence[Instance], rule: Rule
    ) -> tuple[Reading, list[Source]]:
        slices = in_order(instances)
        readings, read, refusal = [], [], None
        chosen = [self._source(*slices[index]) for index in evenly_spaced(len(slices))]
        for source in chosen:
            try:
                readings.append(self._ask(source, rule))
                read.append(source)
            except Permanent as error:
                refusal = error
        if refusal and len(read) * 2 < len(chosen):
            raise Permanent(f"Most of its slices cannot be read, such as one with: {refusal}")
        if len({reading.digest for reading in readings}) > 1:
            raise Transient("the model was changed in the middle of the series", retry_after_s=1)
        model = readings[0].model
        described = self._services.model(model["name"], model["version"])
        return of_series(readings, len(slices), described), read

    def _write(
        self,
        job: Job,
        key: str,
        reading: Reading,
        read: Sequence[Source],
        versions: Sequence[Result],
    ) -> Result:
        """Write all that will be sent, before anything is."""
        predecessor = versions[-1].key if versions else None
        documents = {"sr": structured_report(key, reading, read, predecessor)}
        documents |= _pictures(key, reading, read[0], self._rules[job.rule])
        result = Result(
            key=key,
            job_id=job.id,
            version=len(versions) + 1,
            last_arrival_at=job.last_arrival_at,
            kinds=[*documents],
            bundle=json.dumps(_bundle(key, reading, read[0].header)),
        )
        made = result.objects(self._config.state_dir)
        result.size = sum(
            write_durably(each.file, encoded(document))
            for each, document in zip(made, documents.values(), strict=True)
        )
        return result


class Courier(TaskWorker):
    """Sends to one destination."""

    def __init__(
        self,
        config: Config,
        destination: Destination,
        store: Store,
        auditor: Auditor,
        commitments: Commitments,
    ) -> None:
        super().__init__("courier", config, store)
        self._auditor = auditor
        self._destination = destination.name
        self._used_at = time.monotonic()
        self._sender = sender(destination, config.dicom.ae_titles[0], commitments)

    def step(self) -> bool:
        """Send some results; whether there were any."""
        deliveries = self._store.due(Delivery, _BATCH, to=self._destination)
        went, sent = bool(deliveries), list[Delivery]()
        for delivery in deliveries:
            went = self.attempt(delivery, partial(self._send, delivery, sent))
            # Where the destination is away, the others are tried in a while.
            if not went or self._is_closing:
                break
            self._used_at = time.monotonic()
        # What is not written down any more is sent again, and is the same object.
        self._store.finish_deliveries(sent)
        if not deliveries and time.monotonic() - self._used_at > _LINGER_S:
            self._sender.close()
        return went

    def close(self) -> None:
        """Finish the delivery at hand, and close the connection."""
        super().close()
        self._sender.close()

    def _send(self, delivery: Delivery, sent: list[Delivery]) -> None:
        result = delivery.result
        if not result.bundle:
            raise Permanent("The result has been erased.")
        objects = result.objects(self._config.state_dir)
        self._sender.send(objects, result.bundle)
        sent.append(delivery)
        TIME_TO_REPORT.labels(self._destination).observe(time.time() - result.last_arrival_at)
        self._auditor.transferred(self._destination, objects[0].file, outgoing=True)


def _pictures(key: str, reading: Reading, source: Source, rule: Rule) -> dict[str, Dataset]:
    """What shows the activation, as far as the rule wants it and the model has one."""
    pictures: dict[str, Dataset] = {}
    if "heatmap" in reading.result:
        if rule.secondary_capture:
            pictures["sc"] = secondary_capture(key, reading, source)
        if rule.activation_map and frames_of(source.header) == 1:
            pictures["map"] = activation_map(key, reading, source)
    return pictures


def _bundle(key: str, reading: Reading, header: Dataset) -> dict[str, Any]:
    patient_id = str(header.get("PatientID") or "")
    origin = Origin(
        study_uid=str(header.StudyInstanceUID),
        accession=str(header.get("AccessionNumber") or "") or None,
        patient={"value": patient_id} if patient_id else None,
    )
    now = datetime.now(UTC)
    return report_bundle(key, reading.model, reading.result, now, origin, reading.note)


def _problem(error: Exception, config: Config) -> Transient | Permanent:
    """What an error means for the task that it ended."""
    match error:
        case Transient() | Permanent():
            return error
        case Unacceptable():
            return Permanent(str(error))
        case FileNotFoundError(filename=str(name)) if Path(name).is_relative_to(config.state_dir):
            return Permanent("Its file is no longer in the state folder.")
        case OSError() | InvalidConfiguration():
            return Transient(f"cannot work: {type(error).__name__}")
        case _:  # one object that nobody foresaw must not stop the others
            return Permanent(f"unforeseen: {type(error).__name__}")
