import errno
import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.audit import Auditor
from gateway.config import Config, Destination, Rule, Service
from gateway.courier import Courier
from gateway.destinations import Commitments
from gateway.errors import Permanent, Transient
from gateway.intake import Intake
from gateway.reader import Reader
from gateway.rules import Routed
from gateway.service import Reading, Services, evenly_spaced, in_order
from gateway.store import Store
from gateway.tables import Delivery, Instance, Job, Result, ResultObject
from gateway.worker import Worker
from tests.gateway.drawn import finding, slice_of
from tests.gateway.stack import eventually, free_port


def row(uid: str, position: float | None, number: int | None, frames: int = 1) -> Instance:
    return Instance(sop_uid=uid, facts={"position": position, "number": number, "frames": frames})


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("a", 3, 1), row("b", 1, 2), row("c", 2, 3)], ["b1", "c1", "a1"]),
        ([row("a", 3, 2), row("b", None, 1)], ["b1", "a1"]),
        ([row("b", None, None), row("a", None, None), row("c", None, 9)], ["c1", "a1", "b1"]),
        # The frames of an enhanced image are slices.
        ([row("a", None, 1, 3)], ["a1", "a2", "a3"]),
    ],
)
def test_slices_are_in_order_by_the_best_that_all_of_them_have(
    rows: list[Instance], expected: list[str]
) -> None:
    assert [f"{slice_.sop_uid}{frame}" for slice_, frame in in_order(rows)] == expected


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 500])
def test_slices_are_evenly_spaced_from_the_first_to_the_last(count: int) -> None:
    chosen = evenly_spaced(count)

    steps = {later - earlier for earlier, later in pairwise(chosen)}
    assert len(chosen) == len(set(chosen)) == min(count, 32)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert not steps or max(steps) - min(steps) <= 1


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_step_that_fails_is_taken_again(error: type[Exception]) -> None:
    steps: list[int] = []

    class Failing(Worker):
        def step(self) -> bool:
            steps.append(len(steps))
            if len(steps) == 1:
                raise error
            return False

    worker = Failing("worker")
    worker.start()
    eventually(lambda: len(steps) > 1)
    worker.close()

    assert steps[:2] == [0, 1]


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "parked", "Its file is no longer"),
        (OSError(errno.EIO, "x"), "waiting", "cannot work: OSError"),
    ],
)
def test_a_file_that_is_gone_parks_its_delivery_and_a_failing_disk_puts_it_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, state: str, problem: str
) -> None:
    courier, store = courier_of("k", folder=tmp_path)

    def fails(file: Path) -> bytes:
        error.filename = str(file)
        raise error

    monkeypatch.setattr(Path, "read_bytes", fails)

    courier.step()

    [row] = store.listing("deliveries", state, 10)
    assert row["problem"].startswith(problem)
    assert row["attempts"] == 1


class Sent:
    """Refuses the first result for ever; ``between`` happens before it takes another."""

    def __init__(self, between: Callable[[], object]) -> None:
        self.seen: list[str] = []
        self._between = between

    def send(self, objects: Sequence[ResultObject], _bundle: str) -> None:
        self.seen.append(objects[0].sop_uid)
        if len(self.seen) == 1:
            raise Permanent("refused")
        self._between()

    def close(self) -> None:
        pass


def courier_and_queue(
    folder: Path, monkeypatch: pytest.MonkeyPatch, between: Callable[[Store, Courier], object]
) -> tuple[Courier, Store, Sent]:
    """Three results for one destination."""
    sent = Sent(lambda: between(store, courier))
    monkeypatch.setattr("gateway.courier.sender", lambda *_: sent)
    courier, store = courier_of("k1", "k2", "k3", folder=folder)
    return courier, store, sent


def test_what_is_replayed_while_others_are_sent_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier, store, sent = courier_and_queue(
        tmp_path, monkeypatch, lambda store, _: store.replay("deliveries")
    )

    courier.step()
    assert store.counts()["deliveries"] == {"done": 2, "waiting": 1}
    courier.step()

    assert store.counts()["deliveries"] == {"done": 3}
    assert sent.seen.count(sent.seen[0]) == 2


def test_a_courier_that_is_stopped_ends_with_the_delivery_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier, store, _ = courier_and_queue(tmp_path, monkeypatch, lambda _, courier: courier.close())

    courier.step()

    assert store.counts()["deliveries"] == {"parked": 1, "done": 1, "waiting": 1}


def test_a_peer_that_asks_for_a_year_is_asked_again_before(tmp_path: Path) -> None:
    courier, store = courier_of("k", folder=tmp_path)
    [delivery] = store.due(Delivery, 10)

    def busy() -> None:
        raise Transient("busy", retry_after_s=float("inf"))

    courier.attempt(delivery, busy)

    [row] = store.listing("deliveries", "waiting", 10)
    assert row["due_at"] <= time.time() + 60


def courier_of(*keys: str, folder: Path) -> tuple[Courier, Store]:
    """A courier with results that are to be sent, and its queue."""
    destination = Destination(name="d", kind="stow", url="http://127.0.0.1:1")
    config = Config(state_dir=folder, destinations=(destination,), max_backoff_s=60)
    store = Store(config.database, folder)
    rule = Rule(name="films", destinations=("d",))
    for key in keys:
        film = Instance(
            sop_uid=key, digest=key, path="film.dcm", size=1, source="dimse", received_at=0
        )
        store.accept(film, Routed("routed", rule=rule, series_uid=key, facts={"frames": 1}))
        [job] = store.due(Job, 10)
        result = Result(
            key=key, job_id=job.id, version=1, last_arrival_at=0, bundle="{}", kinds=["sr"], size=1
        )
        store.finish_job(job, result, ["d"])
    return Courier(config, destination, store, Auditor(None, "PNEUMO"), Commitments()), store


def test_a_model_that_no_service_tells_of_is_asked_for_again() -> None:
    services = Services(Service(urls=(f"http://127.0.0.1:{free_port()}",)))

    with pytest.raises(Transient, match="does not answer"):
        services.model("ct", 1)


class Readers(Services):
    """Services whose model finds more in each further slice, and can read all but the second."""

    def __init__(self, series_rule: str) -> None:
        self._series_rule = series_rule
        self._probabilities = iter([0.2, None, 0.3, 0.7])

    def predict(self, *_: object, **__: object) -> Reading:
        probability = next(self._probabilities)
        if probability is None:
            raise Permanent("It has no pixels.")
        findings = [finding("covid-19", probability), finding("other", 0.1)]
        model = {"name": "ct", "version": 1, "digest": "sha256:0"}
        result = {"decision": "refer", "reasons": [], "findings": findings}
        return Reading(model, result)

    def model(self, name: str, version: int) -> dict[str, Any]:
        return {"name": name, "version": version, "series_rule": self._series_rule}


def result_of(
    folder: Path,
    *arriving: bytes,
    unit: Literal["image", "series"] = "series",
    series_rule: str = "mean",
) -> Result:
    """What becomes of images that arrive in this order."""
    rule = Rule(name="ct", unit=unit, quiet_s=0, destinations=("d",))
    destination = Destination(name="d", kind="fhir", url="http://127.0.0.1:1")
    config = Config(state_dir=folder, min_free_bytes=0, rules=(rule,), destinations=(destination,))
    folder.mkdir(exist_ok=True)
    store = Store(config.database, folder)
    intake = Intake(config, store, lambda _: None)
    for image in arriving:
        (intake.incoming / "slice.dcm").write_bytes(image)
        intake.take(intake.incoming / "slice.dcm", "folder")
    reader = Reader(config, store, Readers(series_rule), lambda: None)
    reader.step()
    reader.close()
    [delivery] = store.due(Delivery, 10)
    return delivery.result


@pytest.mark.parametrize(
    ("series_rule", "probability", "words"),
    [("mean", 0.4, "The mean"), ("max", 0.7, "The largest")],
)
def test_a_series_is_read_as_its_model_states(
    tmp_path: Path, series_rule: str, probability: float, words: str
) -> None:
    slices = [slice_of(1, number) for number in range(4)]

    result = result_of(tmp_path, *slices, series_rule=series_rule)

    resources = [entry["resource"] for entry in json.loads(result.bundle)["entry"]]
    [first, _] = [each for each in resources if each["resourceType"] == "Observation"]
    assert first["component"][0]["valueQuantity"]["value"] == pytest.approx(probability)
    note = f"Read from 3 of 4 slices, evenly spaced. {words} of the probabilities of 3 of 3 slices."
    assert f"{note} Not measured on series." in resources[-1]["conclusion"]


def test_a_series_has_one_key_in_whatever_order_its_slices_arrive(tmp_path: Path) -> None:
    slices = [slice_of(1, number) for number in range(3)]

    key = result_of(tmp_path / "forwards", *slices).key

    assert result_of(tmp_path / "backwards", *reversed(slices)).key == key
    assert result_of(tmp_path / "fewer", *slices[:2]).key != key


def test_an_image_and_a_series_of_the_same_identifiers_have_keys_of_their_own(
    tmp_path: Path,
) -> None:
    # Frame 1 of an image, and a series of the same UID whose only slice has the UID 1.
    image = slice_of(1, 1, SOPInstanceUID="1.2")
    series = slice_of(1, 1, SOPInstanceUID="1", SeriesInstanceUID="1.2")

    of_image = result_of(tmp_path / "image", image, unit="image")
    of_series = result_of(tmp_path / "series", series)

    assert of_image.key != of_series.key
