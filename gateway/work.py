"""What is done with the queue: rules are asked, services read, destinations are sent to.

Each worker repeats one small step that ends in one transaction, so that it can end anywhere.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from gateway.config import Config, Rule
from gateway.destinations import DimseSender, sender
from gateway.errors import InvalidConfiguration, Permanent, Transient, Unacceptable
from gateway.headers import read_header
from gateway.identifiers import image_key, series_key
from gateway.intake import write_durably
from gateway.metrics import REPORTS, RETRIES, TIME_TO_REPORT
from gateway.pictures import secondary_capture
from gateway.reading import Reading, combine, evenly_spaced, reading_of
from gateway.report import Source, encoded, reference_of, structured_report
from gateway.rules import route
from gateway.service import Services
from gateway.store import Queue, Result, Routed, Row, Store

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
            except (SQLAlchemyError, OSError) as error:
                # The database or the disk is away. What was to be done is still in the queue.
                log.warning("cannot work", worker=self._thread.name, error=type(error).__name__)
                time.sleep(_AFTER_FAILURE_S)
                continue
            except Exception:
                log.exception("unforeseen", worker=self._thread.name)
                time.sleep(_AFTER_FAILURE_S)
                continue
            if not moved:
                self.wake.wait(_IDLE_S)
                self.wake.clear()


class Router:
    """Asks the rules about what has arrived."""

    def __init__(self, config: Config, store: Store, auditor: Auditor) -> None:
        self._config = config
        self._store = store
        self._auditor = auditor
        self.on_routed: Callable[[], object] = lambda: None

    def step(self) -> bool:
        """Route some instances; whether there were any."""
        rows = self._store.received(_BATCH)
        outcomes = [(row, self._outcome(row)) for row in rows]
        self._store.route(outcomes)
        self.on_routed()
        if self._auditor.wanted:
            for row, outcome in outcomes:
                if outcome.state != "parked":
                    peer = row["calling"] or row["source"]
                    _audit(self._auditor, self._store.file(row["path"]), peer, outgoing=False)
        return bool(rows)

    def _outcome(self, row: Row) -> Routed:
        has_sent = self._store.has_sent(row["sop_uid"])
        try:
            return route(
                self._config.rules,
                self._store.file(row["path"]),
                sop_uid=row["sop_uid"],
                calling=row["calling"],
                called=row["called"],
                has_sent=has_sent,
            )
        except Exception as error:
            # One object that nobody foresaw must not stop the others.
            log.exception("unforeseen", queue="instances", id=row["id"])
            return Routed("parked", f"unforeseen: {type(error).__name__}")


class Reader:
    """Has jobs read by the services, several at once."""

    def __init__(self, config: Config, store: Store, services: Services) -> None:
        self._config = config
        self._store = store
        self._services = services
        self._rules = {rule.name: rule for rule in config.rules}
        self._busy: set[int] = set()
        self._free = threading.Condition()
        self._pool = ThreadPoolExecutor(config.service.workers, thread_name_prefix="reader")
        self._senders = {
            d.name: DimseSender(d, config.dicom.ae_titles[0], Commitments())
            for d in config.destinations
            if d.kind == "dimse"
        }
        self._asking = threading.Lock()
        self.on_result: Callable[[], object] = lambda: None

    def step(self) -> bool:
        """Give some jobs to the pool; whether there were any."""
        with self._free:
            self._free.wait_for(lambda: len(self._busy) < self._config.service.workers, _IDLE_S)
            busy = set(self._busy)
        rows = self._store.due("jobs", self._config.service.workers - len(busy), busy)
        for row in rows:
            with self._free:
                self._busy.add(row["id"])
            self._pool.submit(self._read, row)
        return bool(rows)

    def close(self) -> None:
        """Finish the jobs at hand."""
        self._pool.shutdown()
        for asked in self._senders.values():
            asked.close()

    def _read(self, job: Row) -> None:
        try:
            went = _attempt(self._config, self._store, "jobs", job, partial(self._finish, job))
            if not went:
                time.sleep(_IDLE_S)  # the others need the same service
            self.on_result()
        finally:
            with self._free:
                self._busy.discard(job["id"])
                self._free.notify_all()

    def _finish(self, job: Row) -> None:
        rule = self._rules.get(job["rule"])
        if rule is None:
            raise Permanent("Its rule is no longer configured.")
        rows = self._store.instances_of(job)
        if not rows or not all(row["size"] for row in rows):
            raise Permanent("What was received has been erased.")
        if rule.unit == "image":
            reading = self._ask(rows[0], job["frame"], rule)
            key = image_key(rows[0]["sop_uid"], job["frame"], reading.digest)
            read = [(rows[0], job["frame"])]
        else:
            self._wait_for_all(job, rule, rows)
            reading, read = self._read_series(rows, rule)
            key = series_key(job["uid"], (row["sop_uid"] for row in rows), reading.digest)
        if self._store.result(key):
            self._store.finish_job(job, None, ())
            return
        result = self._write(job, key, reading, read, rule)
        self._store.finish_job(job, result, rule.destinations)
        REPORTS.labels(rule.name).inc()

    def _ask(self, row: Row, frame: int, rule: Rule) -> Reading:
        heatmap = rule.unit == "image" and rule.secondary_capture
        body = self._services.predict(
            self._store.file(row["path"]), frame=frame, model=rule.model, heatmap=heatmap
        )
        return reading_of(body)

    def _wait_for_all(self, job: Row, rule: Rule, rows: Sequence[Row]) -> None:
        """Ask the archive how many slices there are, where the rule wants it and for a while."""
        if not rule.count_from or time.time() - job["last_arrival_at"] > _COUNT_PATIENCE_S:
            return
        with self._asking:
            study_uid = rows[0]["facts"]["study_uid"]
            count = self._senders[rule.count_from].count(study_uid, job["uid"])
        if count is not None and count > len(rows):
            problem = f"{len(rows)} of {count} slices have arrived"
            raise Transient(problem, retry_after_s=_COUNT_AGAIN_S)

    def _read_series(
        self, rows: Sequence[Row], rule: Rule
    ) -> tuple[Reading, list[tuple[Row, int]]]:
        slices = in_order(rows)
        readings, read, refusal = [], [], None
        chosen = [slices[index] for index in evenly_spaced(len(slices))]
        for row, frame in chosen:
            try:
                readings.append(self._ask(row, frame, rule))
                read.append((row, frame))
            except Permanent as error:
                refusal = error
        if refusal and len(read) * 2 < len(chosen):
            raise Permanent(f"Most of its slices cannot be read, such as one with: {refusal}")
        if len({reading.digest for reading in readings}) > 1:
            raise Transient("the model was changed in the middle of the series", retry_after_s=1)
        model = readings[0].model
        stated = self._services.model(model["name"], model["version"]).get("series_rule")
        return combine(readings, len(slices), stated or "mean"), read

    def _write(
        self, job: Row, key: str, reading: Reading, read: Sequence[tuple[Row, int]], rule: Rule
    ) -> Result:
        """Write all that will be sent, before anything is."""
        sources = [Source(read_header(self._store.file(row["path"])), frame) for row, frame in read]
        version, predecessor = self._store.latest_result(job["id"])
        documents: dict[str, Dataset] = {
            "sr": structured_report(key, reading, sources, predecessor)
        }
        if rule.secondary_capture and "heatmap" in reading.result:
            file = self._store.file(read[0][0]["path"])
            documents["sc"] = secondary_capture(key, reading, sources[0], file)
        folder = Path("results") / key[:2]
        objects = []
        for kind, document in documents.items():
            path = str(folder / f"{kind}-{key}.dcm")
            write_durably(self._store.file(path), encoded(document))
            objects.append(reference_of(document, path))
        bundle = str(folder / f"{key}.json")
        write_durably(
            self._store.file(bundle), json.dumps(_bundle(key, reading, sources[0])).encode()
        )
        return Result(key, version + 1, bundle, tuple(objects))


class Courier:
    """Sends to one destination."""

    def __init__(
        self, config: Config, name: str, store: Store, auditor: Auditor, commitments: Commitments
    ) -> None:
        self._config = config
        self._store = store
        self._auditor = auditor
        self._name = name
        [destination] = [d for d in config.destinations if d.name == name]
        self._used_at = time.monotonic()
        self._sender = sender(destination, config.dicom.ae_titles[0], commitments)

    def step(self) -> bool:
        """Send some results; whether there were any."""
        rows = self._store.due("deliveries", _BATCH, destination=self._name)
        went = bool(rows)
        for row in rows:
            send = partial(self._send, row)
            went = _attempt(self._config, self._store, "deliveries", row, send)
            if not went:
                break  # the destination is away; the others are tried in a while
            self._used_at = time.monotonic()
        if not rows and time.monotonic() - self._used_at > _LINGER_S:
            self._sender.close()
        return went

    def close(self) -> None:
        """Close the connection."""
        self._sender.close()

    def _send(self, delivery: Row) -> None:
        result = self._store.result(delivery["result_key"])
        if result is None or not result["bundle_path"]:
            raise Permanent("The result has been erased.")
        objects = self._store.objects_of(result["key"])
        self._sender.send(objects, self._store.file(result["bundle_path"]))
        self._store.finish_delivery(delivery)
        TIME_TO_REPORT.labels(self._name).observe(time.time() - result["last_arrival_at"])
        if self._auditor.wanted:
            _audit(self._auditor, Path(objects[0].path), self._name, outgoing=True)


def in_order(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """The slices of a series from one end to the other: an instance and a frame each.

    By their positions, where all have one; else by Instance Number; else by UID.
    """
    facts = [row["facts"] for row in rows]
    by = "position" if all(f["position"] is not None for f in facts) else "number"

    def place(row: Row) -> tuple[Any, ...]:
        value = row["facts"][by]
        return (value is None, value or 0, row["sop_uid"])

    return [
        (row, frame)
        for row in sorted(rows, key=place)
        for frame in range(1, row["facts"]["frames"] + 1)
    ]


def _attempt(
    config: Config, store: Store, queue: Queue, row: Row, action: Callable[[], None]
) -> bool:
    """Do it; else put it off, or park it. Whether another may be tried at once."""
    try:
        _with_file_errors_told_apart(config, action)
    except Transient as error:
        RETRIES.labels(queue).inc()
        age = time.time() - (row["first_try_at"] or time.time())
        attempts = row["attempts"] + 1
        if age > config.give_up_after_h * 3600 or (error.attempts and attempts >= error.attempts):
            store.park(queue, row, f"given up: {error}")
            return True
        store.postpone(queue, row, time.time() + _wait_s(config, row, error), str(error))
        return False
    except (Permanent, Unacceptable) as error:
        store.park(queue, row, str(error))
        log.warning("parked", queue=queue, id=row["id"], problem=str(error))
    except SQLAlchemyError as error:  # what was tried cannot be counted either
        log.warning("cannot work", queue=queue, id=row["id"], error=type(error).__name__)
        return False
    except Exception as error:
        # One object that nobody foresaw must not stop the others.
        log.exception("unforeseen", queue=queue, id=row["id"])
        store.park(queue, row, f"unforeseen: {type(error).__name__}")
    return True


def _with_file_errors_told_apart(config: Config, action: Callable[[], None]) -> None:
    """Do it; a file of the queue that is gone never comes back, any other trouble may pass."""
    try:
        action()
    except (OSError, InvalidConfiguration) as error:
        gone = error.filename if isinstance(error, FileNotFoundError) else None
        if gone and Path(gone).is_relative_to(config.state_dir):
            raise Permanent("Its file is no longer in the state folder.") from error
        raise Transient(f"cannot work: {type(error).__name__}") from error


def _wait_s(config: Config, row: Row, error: Transient) -> float:
    """Twice as long each time, up to a limit, and never in step with the others."""
    longest: float = min(config.max_backoff_s, 2.0 ** min(row["attempts"], 30))
    wait_s: float = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
    return max(wait_s, error.retry_after_s or 0)


def _bundle(key: str, reading: Reading, source: Source) -> dict[str, Any]:
    header = source.header
    patient_id = str(header.get("PatientID") or "")
    origin = Origin(
        study_uid=str(header.StudyInstanceUID),
        accession=str(header.get("AccessionNumber") or "") or None,
        patient={"value": patient_id} if patient_id else None,
    )
    issued = datetime.now(UTC)
    return report_bundle(key, reading.model, reading.result, issued, origin, reading.note)


def _audit(auditor: Auditor, file: Path, peer: str, *, outgoing: bool) -> None:
    try:
        header = read_header(file)
    except Unacceptable as error:
        log.warning("no audit message", problem=str(error))
        return
    auditor.transferred(
        outgoing=outgoing,
        peer=peer,
        study_uid=str(header.get("StudyInstanceUID") or ""),
        patient_id=str(header.get("PatientID") or ""),
    )
