import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from gateway.config import Config, Destination, Retention, Rule
from gateway.errors import InvalidConfiguration
from gateway.intake import Intake, replay
from gateway.retention import Eraser
from gateway.rules import Routed
from gateway.store import Store
from gateway.tables import Delivery, Instance, Job, Result, Table, derived_uid, result_key
from tests.gateway.drawn import film

FILMS = Rule(name="films", destinations=("a", "b"))
SERIES = Rule(name="ct", unit="series", quiet_s=0, destinations=("a",))
FACTS = {"frames": 1}
ALL = Retention(max_age_h=1e-9, max_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'queue.db'}", tmp_path)


def received(uid: str, digest: str = "d", path: str = "p") -> Instance:
    return Instance(
        sop_uid=uid,
        digest=digest,
        path=path,
        size=10,
        source="dimse",
        calling="ROOM1",
        received_at=time.time(),
    )


def routed(rule: Rule = FILMS, series_uid: str = "s") -> Routed:
    return Routed("routed", rule=rule, series_uid=series_uid, facts=FACTS)


def waiting_job(store: Store) -> Job:
    """The job of a film that has come."""
    store.accept(received("1"), routed())
    [job] = store.due(Job, 10)
    return job


def made(job: Job, key: str, version: int = 1) -> Result:
    return Result(
        key=key,
        job_id=job.id,
        version=version,
        last_arrival_at=job.last_arrival_at,
        bundle="{}",
        kinds=["sr"],
        size=10,
    )


def config_in(folder: Path) -> Config:
    destinations = tuple(Destination(name=n, kind="fhir", url="http://x") for n in "ab")
    return Config(state_dir=folder, min_free_bytes=0, rules=(FILMS,), destinations=destinations)


def taken(config: Config, store: Store, number: int) -> Instance:
    """A film that has come through the one way in."""
    arrivals: list[Instance] = []
    intake = Intake(config, store, arrivals.append)
    (intake.incoming / "film.dcm").write_bytes(film(number))
    intake.take(intake.incoming / "film.dcm", "folder")
    return arrivals[0]


def test_the_database_has_the_form_that_the_tables_describe(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    for _ in range(2):
        Store(url).close()

    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, Table.metadata)
        revision = context.get_current_revision()

    assert differences == []
    assert revision == "20261130b"


def test_a_queue_of_another_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    Store(url, tmp_path)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()

    with pytest.raises(InvalidConfiguration, match="Another version"):
        Store(url, tmp_path)


def test_an_instance_is_queued_once_and_other_bytes_are_parked(store: Store) -> None:
    outcomes = [store.accept(received("1", digest), routed()) for digest in "aab"]

    assert outcomes == ["new", "repeated", "conflict"]
    assert store.counts()["instances"] == {"routed": 1, "parked": 1}
    assert store.counts()["jobs"] == {"waiting": 1}
    assert store.not_read() == []


def test_a_result_is_kept_once_whoever_repeats_it(store: Store) -> None:
    job = waiting_job(store)

    store.finish_job(job, made(job, "k"), FILMS.destinations)
    store.finish_job(job, made(job, "k"), FILMS.destinations)

    assert store.counts()["jobs"] == {"done": 1}
    assert store.counts()["deliveries"] == {"waiting": 2}
    assert [d.destination for d in store.due(Delivery, 10, to="b")] == ["b"]


def test_a_slice_that_comes_while_its_series_is_read_opens_it_again(store: Store) -> None:
    store.accept(received("1"), routed(SERIES))
    [job] = store.due(Job, 10)
    store.accept(received("2"), routed(SERIES))

    store.finish_job(job, made(job, "k"), SERIES.destinations)

    [again] = store.due(Job, 10)
    assert again.arrivals == 2
    assert [each.sop_uid for each in store.instances_of(again)] == ["1", "2"]
    [predecessor] = store.results_of(again)
    assert predecessor.version == 1
    assert predecessor.objects(Path())[0].sop_uid == derived_uid("k", "sr")


def test_what_is_parked_waits_for_a_replay(store: Store) -> None:
    job = waiting_job(store)

    store.postpone(job, time.time() + 60, "later")
    put_off = store.due(Job, 10)
    store.park(job, "never")
    replayed = store.replay("jobs", job.id)

    assert list(put_off) == []
    assert replayed == 1
    assert [each.problem for each in store.due(Job, 10)] == [None]


def test_each_frame_has_its_key_and_uids_are_of_their_form() -> None:
    key, other = (result_key("image", "1", frame, "sha256:0") for frame in "12")

    assert key == result_key("image", "1", "1", "sha256:0") != other
    uid = derived_uid(key, "sr")
    assert uid.startswith("2.25.")
    assert len(uid) <= 64


def test_only_what_is_done_with_is_erased_and_never_done_again(
    tmp_path: Path, store: Store
) -> None:
    config = config_in(tmp_path)
    done, waiting = taken(config, store, 1), taken(config, store, 2)
    job = next(each for each in store.due(Job, 10) if each.uid == done.sop_uid)
    result = made(job, "k")
    [report] = [each.file for each in result.objects(tmp_path)]
    report.parent.mkdir(parents=True)
    report.write_bytes(b"report")
    store.finish_job(job, result, ["a"])

    Eraser(ALL, store).step()
    unsent = report.exists()
    [delivery] = store.due(Delivery, 10)
    store.finish_deliveries([delivery])
    time.sleep(0.01)
    Eraser(ALL, store).step()

    assert unsent
    assert not report.exists()
    assert not (tmp_path / done.path).exists()
    assert (tmp_path / waiting.path).exists()
    intake = Intake(config, store, lambda _: None)
    (intake.incoming / "film.dcm").write_bytes(film(1))
    assert intake.take(intake.incoming / "film.dcm", "folder") == "repeated"


@pytest.fixture
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store", "retention"):
        monkeypatch.setattr(f"gateway.{module}.BATCH", 2)


@pytest.mark.usefixtures("batches_of_two")
def test_whatever_comes_in_a_minute_goes_in_the_next(store: Store) -> None:
    for uid in "12345":
        store.accept(received(uid, path=uid), Routed("ignored", "No rule takes it."))
    eraser = Eraser(ALL, store)

    assert [eraser.step() for _ in range(4)] == [True, True, False, False]
    assert store.bytes_held() == 0


@pytest.mark.parametrize(
    ("room", "left"), [(40, ["1", "2", "k1", "k2"]), (25, ["k1", "k2"]), (15, ["k2"]), (0, [])]
)
def test_beyond_the_size_films_go_first_and_then_their_reports(
    tmp_path: Path, store: Store, room: int, left: list[str]
) -> None:
    files: dict[str, Path] = {}
    for uid in "12":
        store.accept(received(uid, path=uid), routed())
        [job] = store.due(Job, 10)
        result = made(job, f"k{uid}")
        files |= {uid: tmp_path / uid, f"k{uid}": result.objects(tmp_path)[0].file}
        store.finish_job(job, result, ["a"])
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"0123456789")
    store.finish_deliveries(store.due(Delivery, 10))

    Eraser(Retention(max_bytes=room), store).step()

    assert sorted(name for name, file in files.items() if file.exists()) == left


@pytest.mark.usefixtures("batches_of_two")
def test_reports_stay_while_more_films_may_go(store: Store) -> None:
    job = waiting_job(store)
    store.finish_job(job, made(job, "k"), ["a"])
    store.finish_deliveries(store.due(Delivery, 10))
    for uid in "234":
        store.accept(received(uid, path=uid), Routed("ignored", "No rule takes it."))
    eraser = Eraser(Retention(max_bytes=10), store)

    assert [eraser.step() for _ in range(3)] == [True, True, False]
    assert [each.key for each in store.sent()] == ["k"]


def test_what_cannot_be_erased_is_tried_again_in_a_minute(tmp_path: Path, store: Store) -> None:
    (tmp_path / "folder").mkdir()
    store.accept(received("1", path="folder"), Routed("ignored", "No rule takes it."))
    eraser = Eraser(ALL, store)

    with pytest.raises(OSError, match="folder"):
        eraser.step()
    assert not eraser.step()


def test_a_state_folder_that_was_moved_keeps_what_was_promised_and_nothing_half_done(
    tmp_path: Path,
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    config, moved = config_in(before), config_in(after)
    store = Store(config.database, before)
    taken(config, store, 1)
    (before / "incoming" / "half.dcm").write_bytes(b"half")
    store.close()
    before.rename(after)

    store = Store(moved.database, after)
    intake = Intake(moved, store, lambda _: None)

    assert list(intake.incoming.iterdir()) == []
    [job] = store.due(Job, 10)
    [row] = store.instances_of(job)
    assert (store.state_dir / row.path).read_bytes() == film(1)


def test_the_image_of_a_parked_job_is_kept_for_its_replay(tmp_path: Path, store: Store) -> None:
    image = tmp_path / "p"
    image.write_bytes(b"film")
    job = waiting_job(store)
    store.park(job, "500: broken")

    Eraser(ALL, store).step()
    parked = image.exists()
    store.replay("jobs")
    store.finish_job(job, None, ())
    Eraser(ALL, store).step()

    assert (parked, image.exists()) == (True, False)


def test_what_no_rule_took_is_asked_again_with_the_rules_of_today(
    tmp_path: Path, store: Store
) -> None:
    config = config_in(tmp_path)
    ignored = taken(config.model_copy(update={"rules": ()}), store, 1)

    before = (ignored.state, replay((), store, "instances"))
    replayed = replay(config.rules, store, "instances")

    assert before == ("ignored", 1)
    assert replayed == 1
    assert [job.uid for job in store.due(Job, 10)] == [ignored.sop_uid]
    assert store.not_read() == []
