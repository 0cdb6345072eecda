import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from multiprocessing import active_children
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from service import workers
from service.app import create_app
from service.errors import StartError
from service.intake import Intake
from service.repository import ModelRepository
from service.runtime import open_repository
from service.server import make_server, serve
from service.settings import Settings
from service.workers import share_of, start
from tests.bundles import write_bundle
from tests.integration.live import eventually


def crashes_once(settings: Settings, number: int, own_port: int, intake: Intake) -> None:
    """In the place of a worker: the first one ends; the next one has the service stopped."""
    ended = settings.models_dir / "ended"
    if number == 0 and not ended.exists():
        ended.touch()
        raise SystemExit(1)
    if number == 0:
        os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()


def cannot_start_any_more(settings: Settings, number: int, own_port: int, intake: Intake) -> None:
    """In the place of a worker: it cannot start, which it finds out after a stop."""
    if number == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(workers.CANNOT_START))
        os.kill(os.getppid(), signal.SIGTERM)
    while True:
        time.sleep(0.01)


def waits(settings: Settings, number: int, own_port: int, intake: Intake) -> None:
    signal.pause()


def two_workers(models: Path) -> Settings:
    return Settings(workers=2, provider="cpu", port=0, models_dir=models)


def let_processes_start(monkeypatch: pytest.MonkeyPatch, outcomes: Iterable[bool]) -> None:
    begin, left = ForkProcess.start, iter(outcomes)

    def start_or_fail(process: ForkProcess) -> None:
        if not next(left):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        begin(process)

    monkeypatch.setattr(ForkProcess, "start", start_or_fail)
    monkeypatch.setattr(workers, "RESTART_DELAY_S", 0)


def test_the_cpus_are_shared_out_and_none_goes_without() -> None:
    settings = Settings(workers=3, provider="cpu")

    shares = [share_of(settings, number, cpus=8) for number in range(3)]

    assert [share.decode_workers for share in shares] == [3, 3, 2]
    assert [share.inference_workers for share in shares] == [3, 3, 2]
    assert share_of(settings, 2, cpus=1).decode_workers == 1


def test_threads_that_are_set_are_those_of_each_worker() -> None:
    settings = Settings(workers=2, provider="cpu", decode_workers=5)

    share = share_of(settings, 0, cpus=8)

    assert (share.decode_workers, share.inference_workers) == (5, 4)


def test_each_gpu_belongs_to_one_worker() -> None:
    settings = Settings(workers=2, provider="cuda", gpu_devices=(0, 1, 5))

    shares = [share_of(settings, number, cpus=8) for number in range(2)]

    assert [share.gpu_devices for share in shares] == [(0, 5), (1,)]


def test_a_worker_that_crashes_does_not_stop_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "_work", crashes_once)

    start(two_workers(tmp_path))

    said = capfd.readouterr().out
    assert said.count("worker started") == 3
    assert said.count("worker ended") == 1


def test_a_stopped_worker_that_could_not_start_is_told_by_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_work", cannot_start_any_more)

    with pytest.raises(SystemExit, match=r"^1$"):
        start(two_workers(tmp_path))


def test_a_worker_that_cannot_be_started_again_yet_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "_work", crashes_once)
    let_processes_start(monkeypatch, [True, True, False, True])

    start(two_workers(tmp_path))

    assert capfd.readouterr().out.count("worker not started") == 1


def test_where_a_worker_cannot_be_started_in_the_first_place_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_work", waits)
    let_processes_start(monkeypatch, [True, False])

    with pytest.raises(StartError, match="Cannot start a worker: Resource temporarily"):
        start(two_workers(tmp_path))

    assert active_children() == []


def test_a_worker_that_is_stopped_while_it_loads_does_not_listen(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    def open_while_stopped(settings: Settings) -> ModelRepository:
        repository = open_repository(settings)
        os.kill(os.getpid(), signal.SIGTERM)
        eventually(lambda: server.should_exit)
        return repository

    server = make_server(create_app(two_workers(tmp_path), open_while_stopped))
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        server.run([port])

    assert server.servers == []


def test_a_worker_that_cannot_listen_says_so(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    with socket.socket() as port, socket.socket() as other:
        for each in (port, other):
            # Neither listens yet, so both get the address.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port.bind(other.getsockname())
        other.listen()

        with pytest.raises(StartError, match="Cannot listen: Address already in use"):
            serve(two_workers(tmp_path), [port])
