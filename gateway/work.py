"""What is done with the queue: rules are asked, services read, destinations are sent to.

Each worker repeats one small step that ends in one transaction, so that it can end anywhere.
"""

import json
import random
import threading
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
from gateway.audit import Auditor
from gateway.commitment import Commitments
from gateway.config import Config, Destination, Rule
from gateway.destinations import DimseSender, sender
from gateway.errors import InvalidConfiguration, Permanent, Transient, Unacceptable
from gateway.headers import frames_of, read_header
from gateway.identifiers import image_key, series_key
from gateway.intake import write_durably
from gateway.metrics import REPORTS, RETRIES, TIME_TO_REPORT
from gateway.reading import Reading, combine, evenly_spaced, in_order
from gateway.report import Source, encoded, structured_report
from gateway.service import Services
from gateway.store import Store
from gateway.tables import Delivery, Instance, Job, Result

log = structlog.get_logger()
_BATCH = 32
_IDLE_S = 0.5
_AFTER_FAILURE_S = 1.0
_COUNT_PATIENCE_S = 600.0
_COUNT_AGAIN_S = 5.0
_LINGER_S = 5.0


class Worker:
    """A thread that takes steps until it is told to stop, and rests where there is none to take."""

    def __init__(self, name: str, step: Callable[[], bool]) -> None:
        self.wake = threading.Event()
        self._closing = False
        self._step = step
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Finish the step at hand, and stop."""
        self._closing = True
        self.wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            try:
                moved = self._step()
            except Exception as error:
                # Mostly the database or the disk is away. What was to be done is still queued.
                if isinstance(error, SQLAlchemyError | OSError):
                    log.warning("cannot work", worker=self._thread.name, error=type(error).__name__)
                else:
                    log.exception("unforeseen", worker=self._thread.name)
                time.sleep(_AFTER_FAILURE_S)
                continue
            if not moved:
                self.wake.wait(_IDLE_S)
                self.wake.clear()


class Reader:
    """Has jobs read by the services, several at once."""

    def __init__(
        self, config: Config, store: Store, services: Services, on_result: Callable[[], None]
    ) -> None:
        self._config = config
        self._store = store
        self._services = services
        self._rules = {rule.name: rule for rule in config.rules}
        self._destinations = {each.name: each for each in config.destinations}
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
        self._pool.shutdown()

    def _read(self, job: Job) -> None:
        if not attempt(self._config, self._store, job, partial(self._finish, job)):
            time.sleep(_IDLE_S)  # the others need the same service
        self._on_result()

    def _finish(self, job: Job) -> None:
        rule = self._rules.get(job.rule)
        if rule is None:
            raise Permanent("Its rule is no longer configured.")
        instances = self._store.instances_of(job)
        if not instances or not all(each.size for each in instances):
            raise Permanent("What was received has been erased.")
        if rule.unit == "image":
            read = [(instances[0], job.frame)]
            reading = self._ask(*read[0], rule)
            key = image_key(job.uid, job.frame, reading.digest)
        else:
            self._wait_for_all(job, rule, instances)
            reading, read = self._read_series(instances, rule)
            key = series_key(job.uid, (each.sop_uid for each in instances), reading.digest)
        versions = self._store.results_of(job)
        is_new = key not in {version.key for version in versions}
        result = self._write(job, key, reading, read, versions) if is_new else None
        self._store.finish_job(job, result, rule.destinations)
        REPORTS.labels(rule.name).inc()

    def _ask(self, instance: Instance, frame: int, rule: Rule) -> Reading:
        heatmap = rule.unit == "image" and (rule.secondary_capture or rule.activation_map)
        file = self._store.file(instance.path)
        return self._services.predict(file, frame, model=rule.model, heatmap=heatmap)

    def _wait_for_all(self, job: Job, rule: Rule, instances: Sequence[Instance]) -> None:
        """Ask the archive how many slices there are, where the rule wants it and for a while."""
        if not rule.count_from or time.time() - job.last_arrival_at > _COUNT_PATIENCE_S:
            return
        archive = self._destinations[rule.count_from]
        own_title = self._config.dicom.ae_titles[0]
        with closing(DimseSender(archive, own_title, Commitments())) as asked:
            count = asked.count(str((instances[0].facts or {})["study_uid"]), job.uid)
        if count is not None and count > len(instances):
            problem = f"{len(instances)} of {count} slices have arrived"
            raise Transient(problem, retry_after_s=_COUNT_AGAIN_S)

    def _read_series(
        self, instances: Sequence[Instance], rule: Rule
    ) -> tuple[Reading, list[tuple[Instance, int]]]:
        slices = in_order(instances)
        readings, read, refusal = [], [], None
        chosen = [slices[index] for index in evenly_spaced(len(slices))]
        for instance, frame in chosen:
            try:
                readings.append(self._ask(instance, frame, rule))
                read.append((instance, frame))
            except Permanent as error:
                refusal = error
        if refusal and len(read) * 2 < len(chosen):
            raise Permanent(f"Most of its slices cannot be read, such as one with: {refusal}")
        if len({reading.digest for reading in readings}) > 1:
            raise Transient("the model was changed in the middle of the series", retry_after_s=1)
        model = readings[0].model
        described = self._services.model(model["name"], model["version"])
        return combine(readings, len(slices), described.get("series_rule", "mean")), read

    def _write(
        self,
        job: Job,
        key: str,
        reading: Reading,
        read: Sequence[tuple[Instance, int]],
        versions: Sequence[Result],
    ) -> Result:
        """Write all that will be sent, before anything is."""
        files = [self._store.file(instance.path) for instance, _ in read]
        sources = [
            Source(read_header(file), frame) for file, (_, frame) in zip(files, read, strict=True)
        ]
        predecessor = versions[-1].key if versions else None
        documents = {"sr": structured_report(key, reading, sources, predecessor)}
        documents |= self._pictures(key, reading, sources[0], files[0], self._rules[job.rule])
        result = Result(
            key=key,
            job_id=job.id,
            version=len(versions) + 1,
            last_arrival_at=job.last_arrival_at,
            kinds=[*documents],
            bundle=json.dumps(_bundle(key, reading, sources[0])),
        )
        made = result.objects(self._config.state_dir)
        for each, document in zip(made, documents.values(), strict=True):
            write_durably(each.file, encoded(document))
        return result

    def _pictures(
        self, key: str, reading: Reading, source: Source, file: Path, rule: Rule
    ) -> dict[str, Dataset]:
        """What shows the activation, as far as the rule wants it and the model has one."""
        if "heatmap" not in reading.result:
            return {}
        # Loaded where they are wanted, for the memory that they need.
        from gateway import activation

        pictures: dict[str, Dataset] = {}
        if rule.secondary_capture:
            pictures["sc"] = activation.secondary_capture(key, reading, source, file)
        if rule.activation_map and frames_of(source.header) == 1:
            pictures["map"] = activation.activation_map(key, reading, source)
        return pictures


class Courier:
    """Sends to one destination."""

    def __init__(
        self,
        config: Config,
        destination: Destination,
        store: Store,
        auditor: Auditor,
        commitments: Commitments,
    ) -> None:
        self._config = config
        self._store = store
        self._auditor = auditor
        self._name = destination.name
        self._used_at = time.monotonic()
        self._sender = sender(destination, config.dicom.ae_titles[0], commitments)

    def step(self) -> bool:
        """Send some results; whether there were any."""
        deliveries = self._store.due(Delivery, _BATCH, to=self._name)
        went = bool(deliveries)
        for delivery in deliveries:
            send = partial(self._send, delivery)
            went = attempt(self._config, self._store, delivery, send)
            if not went:
                break  # the destination is away; the others are tried in a while
            self._used_at = time.monotonic()
        if not deliveries and time.monotonic() - self._used_at > _LINGER_S:
            self._sender.close()
        return went

    def close(self) -> None:
        """Close the connection."""
        self._sender.close()

    def _send(self, delivery: Delivery) -> None:
        result = delivery.result
        if result.is_erased:
            raise Permanent("The result has been erased.")
        objects = result.objects(self._config.state_dir)
        self._sender.send(objects, result.bundle)
        self._store.finish_delivery(delivery)
        TIME_TO_REPORT.labels(self._name).observe(time.time() - result.last_arrival_at)
        self._auditor.transferred(self._name, objects[0].file, outgoing=True)


def attempt(config: Config, store: Store, task: Job | Delivery, action: Callable[[], None]) -> bool:
    """Do it; else put it off, or park it. Whether another may be tried at once."""
    queue = task.__tablename__
    try:
        action()
    except SQLAlchemyError as error:  # what was tried cannot be counted either
        log.warning("cannot work", queue=queue, id=task.id, error=type(error).__name__)
        return False
    except Exception as error:
        problem = _problem(error, config)
        if isinstance(problem, Transient) and not _is_given_up(config, task, problem):
            RETRIES.labels(queue).inc()
            store.postpone(task, time.time() + _wait_s(config, task, problem), str(problem))
            return False
        log.warning("parked", queue=queue, id=task.id, problem=str(problem), exc_info=True)
        store.park(task, str(problem))
    return True


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


def _is_given_up(config: Config, task: Job | Delivery, problem: Transient) -> bool:
    since = task.first_try_at or time.time()
    is_old = time.time() - since > config.give_up_after_h * 3600
    return is_old or (problem.attempts is not None and task.attempts + 1 >= problem.attempts)


def _wait_s(config: Config, task: Job | Delivery, problem: Transient) -> float:
    """Twice as long each time, up to a limit, and never in step with the others."""
    longest: float = min(config.max_backoff_s, 2.0 ** min(task.attempts, 30))
    wait_s: float = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
    return max(wait_s, problem.retry_after_s or 0)


def _bundle(key: str, reading: Reading, source: Source) -> dict[str, Any]:
    header = source.header
    patient_id = str(header.get("PatientID") or "")
    origin = Origin(
        study_uid=str(header.StudyInstanceUID),
        accession=str(header.get("AccessionNumber") or "") or None,
        patient={"value": patient_id} if patient_id else None,
    )
    return report_bundle(
        key, reading.model, reading.result, datetime.now(UTC), origin, reading.note
    )
