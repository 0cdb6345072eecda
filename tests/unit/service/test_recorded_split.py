from pathlib import Path

import pytest

from service import workers
from service.errors import InvalidConfiguration
from service.recorded_split import RecordedSplit, read_split, with_threads, write_split
from service.settings import Settings
from service.workers import share_of, start

SPLIT = RecordedSplit(cpus=4, model="tiny/1", runs=2, intra_op_threads=2, images_per_s=100.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "split.json"
    write_split(path, SPLIT)
    return path


def threads(settings: Settings) -> tuple[int, int, int]:
    return settings.decode_workers, settings.inference_workers, settings.intra_op_threads


def test_what_is_written_is_read(file: Path) -> None:
    assert read_split(Settings(thread_split_file=file)) == SPLIT


def test_a_process_of_as_many_cpus_uses_it() -> None:
    assert threads(with_threads(Settings(provider="cpu"), 4, SPLIT)) == (2, 2, 2)


@pytest.mark.parametrize(
    ("settings", "cpus"),
    [
        (Settings(provider="cpu"), 2),
        (Settings(provider="cpu"), 8),
        (Settings(provider="auto"), 4),
        (Settings(provider="cpu", engines=2), 4),
    ],
)
def test_it_says_nothing_of_anything_else(settings: Settings, cpus: int) -> None:
    assert threads(with_threads(settings, cpus, SPLIT)) == (cpus, cpus, 1)


def test_what_is_set_goes_before_it() -> None:
    settings = Settings(provider="cpu", decode_workers=3, intra_op_threads=1)

    assert threads(with_threads(settings, 4, SPLIT)) == (3, 2, 1)


def test_each_worker_uses_it_for_its_own_cpus() -> None:
    settings = Settings(workers=2, provider="cpu")

    assert threads(share_of(settings, 1, cpus=8, split=SPLIT)) == (2, 2, 2)
    assert threads(share_of(settings, 1, cpus=2, split=SPLIT)) == (1, 1, 1)


def test_without_a_record_the_cpus_are_one_thread_each() -> None:
    assert read_split(Settings()) is None
    assert threads(with_threads(Settings(), 5, None)) == (5, 5, 1)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"cpus": 0}', b"\xff"])
def test_a_file_that_is_no_record_is_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)

    with pytest.raises(InvalidConfiguration, match=r"PNEUMO_THREAD_SPLIT_FILE.*--record"):
        read_split(Settings(thread_split_file=file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="No such file"):
        read_split(Settings(thread_split_file=tmp_path / "none.json"))


def test_a_service_starts_with_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Settings] = []
    monkeypatch.setattr(workers, "available_cpus", lambda: 4)
    monkeypatch.setattr(workers, "serve", lambda settings, log: told.append(settings))  # noqa: ARG005

    start(Settings(provider="cpu", thread_split_file=file))

    assert [threads(settings) for settings in told] == [(2, 2, 2)]


def test_a_record_that_is_not_used_is_told_of(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(workers, "available_cpus", lambda: 3)
    monkeypatch.setattr(workers, "serve", lambda settings, log: None)  # noqa: ARG005

    start(Settings(provider="cpu", thread_split_file=file))

    said = capfdbinary.readouterr().out.decode()
    assert "thread split not used" in said
    assert "measured with 4 CPUs, and this process has 3" in said
