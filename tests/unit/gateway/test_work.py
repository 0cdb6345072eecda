import errno
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.audit import Auditor
from gateway.commitment import Commitments
from gateway.config import Config, Destination, Rule, Service
from gateway.errors import Transient
from gateway.reading import in_order
from gateway.rules import Routed
from gateway.service import Services
from gateway.store import Store
from gateway.tables import Instance, Job, Result, ResultObject
from gateway.work import Courier, Worker
from tests.gateway.stack import eventually, free_port


def row(uid: str, position: float | None, number: int | None, frames: int = 1) -> Instance:
    return Instance(sop_uid=uid, facts={"position": position, "number": number, "frames": frames})


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("a", 3, 1), row("b", 1, 2), row("c", 2, 3)], ["b", "c", "a"]),
        ([row("a", 3, 2), row("b", None, 1)], ["b", "a"]),
        ([row("b", None, None), row("a", None, None), row("c", None, 9)], ["c", "a", "b"]),
    ],
)
def test_slices_are_in_order_by_the_best_that_all_of_them_have(
    rows: list[Instance], expected: list[str]
) -> None:
    assert [slice_.sop_uid for slice_, _ in in_order(rows)] == expected


def test_the_frames_of_an_enhanced_image_are_slices() -> None:
    assert [frame for _, frame in in_order([row("a", None, 1, 3)])] == [1, 2, 3]


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_step_that_fails_is_taken_again(error: type[Exception]) -> None:
    steps: list[int] = []

    def step() -> bool:
        steps.append(len(steps))
        if len(steps) == 1:
            raise error
        return False

    worker = Worker("worker", step)
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
    destination = Destination(name="d", kind="fhir", url="http://127.0.0.1:1")
    config = Config(state_dir=tmp_path, destinations=(destination,))
    store = delivery_to(config)

    def fails(file: Path) -> bytes:
        error.filename = str(file)
        raise error

    monkeypatch.setattr(Path, "read_bytes", fails)

    Courier(config, "d", store, Auditor(None, "PNEUMO"), Commitments()).step()

    [row] = store.listing("deliveries", state, 10)
    assert row["problem"].startswith(problem)
    assert row["attempts"] == 1


def delivery_to(config: Config) -> Store:
    """A queue with a result that is to be sent to the destination ``d``."""
    store = Store(config.database, config.state_dir)
    film = Instance(sop_uid="1", digest="d", path="film.dcm", size=1, source="dimse", received_at=0)
    rule = Rule(name="films", destinations=("d",))
    store.accept(film, Routed("routed", rule=rule, series_uid="s", facts={"frames": 1}))
    [job] = store.due(Job, 10)
    report = asdict(ResultObject("2", "1.2", "1.3", "1.4", "k.sr.dcm"))
    result = Result(
        key="k", job_id=job.id, version=1, last_arrival_at=0, bundle="k.json", described=[report]
    )
    store.finish_job(job, result, ["d"])
    return store


def test_a_model_that_no_service_tells_of_is_asked_for_again() -> None:
    services = Services(Service(urls=(f"http://127.0.0.1:{free_port()}",)))

    with pytest.raises(Transient, match="none answers"):
        services.model("ct", 1)
