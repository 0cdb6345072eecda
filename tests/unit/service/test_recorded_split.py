from pathlib import Path

import pytest

from service.errors import InvalidConfiguration
from service.recorded_split import RecordedSplit, read_split, with_threads, write_split
from service.settings import Settings
from service.workers import share_of

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
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_process_of_as_many_cpus_uses_it(file: Path) -> None:
    assert threads(with_threads(Settings(thread_split_file=file), 4)) == (2, 2, 2)


@pytest.mark.parametrize("cpus", [2, 8])
def test_it_says_nothing_of_other_cpus(file: Path, cpus: int) -> None:
    assert threads(with_threads(Settings(thread_split_file=file), cpus)) == (cpus, cpus, 1)


def test_what_is_set_goes_before_it(file: Path) -> None:
    settings = Settings(thread_split_file=file, decode_workers=3, intra_op_threads=1)

    assert threads(with_threads(settings, 4)) == (3, 2, 1)


def test_each_worker_uses_it_for_its_own_cpus(file: Path) -> None:
    settings = Settings(thread_split_file=file, workers=2, provider="cpu")

    assert threads(share_of(settings, 1, cpus=8)) == (2, 2, 2)
    assert threads(share_of(settings, 1, cpus=2)) == (1, 1, 1)


def test_without_a_file_the_cpus_are_one_thread_each() -> None:
    assert threads(with_threads(Settings(), 5)) == (5, 5, 1)


@pytest.mark.parametrize("text", ["", "{}", '{"cpus": 0}', "\xff"])
def test_a_file_that_is_no_record_is_refused(file: Path, text: str) -> None:
    file.write_bytes(text.encode("latin-1"))

    with pytest.raises(InvalidConfiguration, match=r"PNEUMO_THREAD_SPLIT_FILE.*--record"):
        with_threads(Settings(thread_split_file=file), 4)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="No such file"):
        read_split(Settings(thread_split_file=tmp_path / "none.json"))


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be written: No such file"):
        write_split(tmp_path / "none" / "split.json", SPLIT)
