import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from gateway.config import Config, Retention, Rule
from gateway.identifiers import derived_uid, image_key, series_key
from gateway.intake import Intake
from gateway.retention import Eraser
from gateway.store import Arrival, Result, ResultObject, Routed, Row, Store
from gateway.tables import METADATA
from tests.gateway.drawn import film

FILMS = Rule(name="films", destinations=("a", "b"))
SERIES = Rule(name="ct", unit="series", quiet_s=0, destinations=("a",))
FACTS = {"frames": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'queue.db'}", tmp_path)


def arrived(store: Store, uid: str, digest: str = "d", path: str = "p") -> Row:
    store.accept(Arrival(uid, digest, path, 10, "dimse", "ROOM1", "PNEUMO"))
    return store.received(10)[-1]


def made(key: str, version: int = 1, path: str = "results/sr-k.dcm") -> Result:
    report = ResultObject(derived_uid(key, "sr"), "1.2", "1.3", "1.4", path)
    return Result(key, version, f"{path}.json", (report,))


def test_the_database_has_the_form_that_the_tables_describe(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    for _ in range(2):
        Store(url).close()

    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, METADATA)
        revision = context.get_current_revision()

    assert differences == []
    assert revision == "0001"


def test_an_instance_is_queued_once_and_other_bytes_are_parked(store: Store) -> None:
    outcomes = [store.accept(Arrival("1", digest, "p", 1, "dimse")) for digest in "aab"]

    assert outcomes == ["new", "repeated", "conflict"]
    assert store.counts()["instances"] == {"received": 1, "parked": 1}
    assert store.replay("instances") == 0


def test_a_result_is_kept_once_whoever_repeats_it(store: Store) -> None:
    row = arrived(store, "1")
    store.route([(row, Routed("routed", rule=FILMS, series_uid="s", facts=FACTS))])
    [job] = store.due("jobs", 10)

    store.finish_job(job, made("k"), FILMS.destinations)
    store.finish_job(job, made("k"), FILMS.destinations)

    assert store.counts()["jobs"] == {"done": 1}
    assert store.counts()["deliveries"] == {"waiting": 2}
    assert store.has_sent(derived_uid("k", "sr"))
    assert [d["destination"] for d in store.due("deliveries", 10, destination="b")] == ["b"]


def test_a_slice_that_comes_while_its_series_is_read_opens_it_again(store: Store) -> None:
    routed = Routed("routed", rule=SERIES, series_uid="s", facts=FACTS)
    store.route([(arrived(store, "1"), routed)])
    [job] = store.due("jobs", 10)
    store.route([(arrived(store, "2"), routed)])

    store.finish_job(job, made("k"), SERIES.destinations)

    [again] = store.due("jobs", 10)
    assert again["arrivals"] == 2
    assert [row["sop_uid"] for row in store.instances_of(again)] == ["1", "2"]
    version, predecessor = store.latest_result(again["id"])
    assert version == 1
    assert predecessor is not None
    assert predecessor.sop_uid == derived_uid("k", "sr")


def test_what_is_parked_waits_for_a_replay(store: Store) -> None:
    routed = Routed("routed", rule=FILMS, series_uid="s", facts=FACTS)
    store.route([(arrived(store, "1"), routed)])
    [job] = store.due("jobs", 10)

    store.postpone("jobs", job, time.time() + 60, "later")
    put_off = store.due("jobs", 10)
    store.park("jobs", job, "never")
    replayed = store.replay("jobs", job["id"])

    assert list(put_off) == []
    assert replayed == 1
    assert [row["problem"] for row in store.due("jobs", 10)] == [None]


def test_keys_and_uids_follow_from_what_they_are_of() -> None:
    key = series_key("s", ["2", "1"], "sha256:0")

    assert key == series_key("s", ["1", "2"], "sha256:0")
    assert len({key, series_key("s", ["1"], "sha256:0"), image_key("s", 1, "sha256:0")}) == 3
    assert image_key("1", 1, "sha256:0") != image_key("1", 2, "sha256:0")
    assert derived_uid(key, "sr") == derived_uid(key, "sr")
    assert derived_uid(key, "sr").startswith("2.25.")
    assert len(derived_uid(key, "sr")) <= 64


def test_only_what_is_done_with_is_erased_and_never_done_again(
    tmp_path: Path, store: Store
) -> None:
    config = Config(state_dir=tmp_path, min_free_bytes=0)
    intake = Intake(config, store)
    for number in (1, 2):
        incoming = intake.incoming / "film.dcm"
        incoming.write_bytes(film(number))
        intake.take(incoming, "folder")
    done, waiting = store.received(10)
    routed = [
        Routed("routed", rule=FILMS, series_uid=f"s{number}", facts=FACTS) for number in (1, 2)
    ]
    store.route(list(zip((done, waiting), routed, strict=True)))
    job = next(j for j in store.due("jobs", 10) if j["uid"] == done["sop_uid"])
    report = tmp_path / "results" / "sr-k.dcm"
    report.parent.mkdir()
    report.write_bytes(b"report")
    store.finish_job(job, made("k", path=str(report)), ["a"])
    eraser = Eraser(Retention(max_age_h=1e-9, max_bytes=0), store)

    eraser.erase()
    unsent = report.exists()
    [delivery] = store.due("deliveries", 10)
    store.finish_delivery(delivery)
    time.sleep(0.01)
    eraser.erase()

    assert unsent
    assert not report.exists()
    assert (store.file(done["path"]).exists(), store.file(waiting["path"]).exists()) == (
        False,
        True,
    )
    again = intake.incoming / "film.dcm"
    again.write_bytes(film(1))
    assert intake.take(again, "folder") == "repeated"


def test_what_is_half_done_goes_at_the_start_and_what_is_unknown_is_set_aside(
    tmp_path: Path, store: Store
) -> None:
    config = Config(state_dir=tmp_path, min_free_bytes=0)
    intake = Intake(config, store)
    (intake.incoming / "film.dcm").write_bytes(film(1))
    intake.take(intake.incoming / "film.dcm", "folder")
    [row] = store.received(10)
    half = intake.incoming / "half.dcm"
    orphan = store.file(row["path"]).with_name("orphan.dcm")
    for file in (half, orphan):
        file.write_bytes(b"half")

    Intake(config, store)

    assert (half.exists(), orphan.exists()) == (False, False)
    assert (tmp_path / "orphans" / "orphan.dcm").read_bytes() == b"half"
    assert store.file(row["path"]).read_bytes() == film(1)


def test_a_state_folder_that_was_moved_keeps_what_was_promised(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    config = Config(state_dir=before, min_free_bytes=0)
    store = Store(config.database, before)
    intake = Intake(config, store)
    (intake.incoming / "film.dcm").write_bytes(film(1))
    intake.take(intake.incoming / "film.dcm", "folder")
    store.close()
    before.rename(after)

    moved = Config(state_dir=after, min_free_bytes=0)
    store = Store(moved.database, after)
    Intake(moved, store)

    [row] = store.received(10)
    assert store.file(row["path"]).read_bytes() == film(1)


def test_what_another_database_promised_is_set_aside_until_it_is_back(
    tmp_path: Path, store: Store
) -> None:
    config = Config(state_dir=tmp_path, min_free_bytes=0)
    intake = Intake(config, store)
    (intake.incoming / "film.dcm").write_bytes(film(1))
    intake.take(intake.incoming / "film.dcm", "folder")
    [row] = store.received(10)

    Intake(config, Store(f"sqlite:///{tmp_path / 'other.db'}", tmp_path))
    aside = list((tmp_path / "orphans").iterdir())
    Intake(config, store)

    assert [file.exists() for file in aside] == [False]
    assert store.file(row["path"]).read_bytes() == film(1)


def test_the_image_of_a_parked_job_is_kept_for_its_replay(tmp_path: Path, store: Store) -> None:
    (tmp_path / "film.dcm").write_bytes(b"film")
    routed = Routed("routed", rule=FILMS, series_uid="s", facts=FACTS)
    store.route([(arrived(store, "1", path="film.dcm"), routed)])
    [job] = store.due("jobs", 10)
    store.park("jobs", job, "500: broken")

    Eraser(Retention(max_age_h=1e-9, max_bytes=0), store).erase()
    parked = (tmp_path / "film.dcm").exists()
    store.replay("jobs")
    store.finish_job(job, None, ())
    Eraser(Retention(max_age_h=1e-9, max_bytes=0), store).erase()

    assert (parked, (tmp_path / "film.dcm").exists()) == (True, False)


def test_a_delivery_to_a_destination_that_is_gone_is_parked_with_the_reason(store: Store) -> None:
    routed = Routed("routed", rule=FILMS, series_uid="s", facts=FACTS)
    store.route([(arrived(store, "1"), routed)])
    [job] = store.due("jobs", 10)
    store.finish_job(job, made("k"), FILMS.destinations)

    assert store.park_all_but(["a"]) == 1

    [parked] = store.listing("deliveries", "parked", 10)
    assert (parked["destination"], parked["problem"]) == (
        "b",
        "Its destination is no longer configured.",
    )
