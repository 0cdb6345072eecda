"""Several processes that share a port, where one event loop is too little for the CPUs.

Each worker is a whole service with its own models. The parent serves nothing: it starts the
workers, deals the connections out to them, passes signals on, and starts again whoever died.
"""

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from typing import cast

from contract.errors import ContractError
from service.cpus import available_cpus
from service.errors import ServiceError, StartError
from service.intake import Intake
from service.logs import Logger, make_logger
from service.recorded_split import RecordedSplit, read_split, why_unused, with_threads
from service.server import serve
from service.settings import Settings
from service.shared_port import SharedPort, Source, bound

RESTART_DELAY_S = 1.0
CANNOT_START = os.EX_CONFIG
"""How a worker ends that cannot start: an exception that nobody foresaw ends it with 1."""
STOPS = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOPS, signal.SIGHUP)


def start(settings: Settings) -> None:
    """Serve until a signal comes, in as many processes as the settings say.

    Raises:
        ContractError: A model bundle cannot be used.
        ServiceError: The service cannot start.
        SystemExit: A worker did not end well; it has said why.
    """
    log = make_logger(settings.log_level)
    split = read_split(settings)
    if split is not None:
        _warn_where_unused(split, settings, log)
    if settings.workers == 1:
        serve(share_of(settings, 0, available_cpus(), split), log=log)
        return
    port = SharedPort(settings.host, settings.port, log)
    told = settings.model_copy(update={"port": port.port})
    code = _Supervisor(told, port, log, split, numbered=settings.port > 0).run()
    if code:
        raise SystemExit(code)


def share_of(
    settings: Settings, number: int, cpus: int, split: RecordedSplit | None = None
) -> Settings:
    """What one of the workers is told: its part of the CPUs, and a GPU of its own.

    Args:
        settings: Of all; threads that they set are those of each worker.
        number: Which worker, from 0.
        cpus: Of all workers together.
        split: How a process of so many CPUs is best shared out, where that was measured.
    """
    # On the CPU there may be fewer GPUs than workers, and none of them matters.
    devices = settings.gpu_devices[number :: settings.workers] or settings.gpu_devices
    told = with_threads(settings, cpus_of(settings, number, cpus), split)
    return told.model_copy(update={"gpu_devices": devices})


def cpus_of(settings: Settings, number: int, cpus: int) -> int:
    """How many CPUs one of the workers has, at least 1.

    Args:
        settings: Of all.
        number: Which worker, from 0.
        cpus: Of all workers together.
    """
    return max(1, cpus // settings.workers + (number < cpus % settings.workers))


def _warn_where_unused(split: RecordedSplit, settings: Settings, log: Logger) -> None:
    shares = {cpus_of(settings, number, available_cpus()) for number in range(settings.workers)}
    reasons = {why_unused(settings, cpus, split) for cpus in shares}
    for reason in sorted(filter(None, reasons)):
        log.warning("thread split not used", reason=reason)


class _Supervisor:
    """The parent of the workers."""

    def __init__(
        self,
        settings: Settings,
        port: SharedPort,
        log: Logger,
        split: RecordedSplit | None,
        *,
        numbered: bool,
    ) -> None:
        self._settings = settings
        # Read once: a worker that starts again must not depend on a file that may be gone.
        self._split = split
        self._port = port
        self._log = log
        self._numbered = numbered
        self._processes: dict[int, ForkProcess] = {}
        self._due: dict[int, float] = {}
        self._restarts: set[int] = set()
        self._stopping = False
        self._code = 0

    def run(self) -> int:
        """Keep the workers running until a signal comes; the exit code of the whole.

        Raises:
            StartError: A worker's process cannot be made in the first place.
        """
        # What is here now stays; a collector that looked at it would copy its pages to each worker.
        gc.freeze()
        try:
            with _signals() as signals:
                self._start_all()
                self._look_after(signals)
        finally:
            # Those that are left would be waited for when the interpreter ends, and never told to.
            self._end()
            gc.unfreeze()
        return self._code

    def _start_all(self) -> None:
        try:
            for number in range(self._settings.workers):
                self._start(number)
        except OSError as error:
            raise StartError(f"Cannot start a worker: {error.strerror}.") from error

    def _look_after(self, signals: socket.socket) -> None:
        while self._processes or self._due:
            sources = self._sources(signals)
            for ready in wait(list(sources), self._patience_s()):
                sources[cast("Source", ready)]()
            self._start_what_is_due()

    def _sources(self, signals: socket.socket) -> dict[Source, Callable[[], None]]:
        """What to wait for, and what to do when it comes."""
        return {
            signals: lambda: self._pass_on(signals.recv(1)[0]),
            **{p.sentinel: partial(self._ended, n) for n, p in self._processes.items()},
            **self._port.sources(),
        }

    def _end(self) -> None:
        if not self._stopping:
            self._stop()
        for process in self._processes.values():
            process.join()
        self._port.close()

    def _start(self, number: int) -> None:
        own_port = self._settings.port + 1 + number if self._numbered else 0
        told = share_of(self._settings, number, available_cpus(), self._split)
        intake = self._port.connect(number)
        # A forked process shares all that is imported, and needs no second to import it. To fork
        # is safe as long as this process has no threads, whose locks would be held for ever
        # (OpenBLAS ends its own before a fork), and has not touched CUDA: it opens no session.
        process = get_context("fork").Process(
            target=self._become, args=(told, number, own_port, intake)
        )
        try:
            with _signals_held_back():
                process.start()
        except OSError:
            self._port.disconnect(number)
            raise
        finally:
            intake.close()
        self._processes[number] = process
        self._log.info("worker started", worker=number, pid=process.pid)

    def _become(self, settings: Settings, number: int, own_port: int, intake: Intake) -> None:
        """Be a worker, in a new process: give up what only the parent may have."""
        signal.set_wakeup_fd(-1)
        for stop in STOPS:
            signal.signal(stop, signal.SIG_DFL)
        # Until the server takes it, there is nothing to reload: the models are loaded anyway.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._port.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        _work(settings, number, own_port, intake)

    def _ended(self, number: int) -> None:
        process = self._processes.pop(number)
        process.join()
        self._port.disconnect(number)
        code = process.exitcode or 0
        if self._stopping:
            # One that is still starting has accepted nothing, and does not know the signals yet.
            clean = code in (0, -signal.SIGTERM)
            self._code = self._code or (0 if clean else _exit_status(code))
            return
        self._log.error("worker ended", worker=number, exit_code=code)
        if code == CANNOT_START and number not in self._restarts:
            self._code = _exit_status(code)
            self._stop()
            return
        self._restarts.add(number)
        self._due[number] = time.monotonic() + RESTART_DELAY_S

    def _patience_s(self) -> float | None:
        now = time.monotonic()
        due = [*self._due.values()]
        if self._port.rests_until > now:
            due.append(self._port.rests_until)
        return max(0.0, min(due) - now) if due else None

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            try:
                self._start(number)
            except OSError as error:
                # The memory or the pids are short. The others go on, and this one tries again.
                self._log.error("worker not started", worker=number, reason=error.strerror)
                self._due[number] = now + RESTART_DELAY_S
            else:
                del self._due[number]

    def _pass_on(self, number: int) -> None:
        if number in STOPS:
            self._stop()
            return
        for process in self._processes.values():
            _send(process, signal.SIGHUP)

    def _stop(self) -> None:
        self._stopping = True
        self._due.clear()
        # First, so that a worker that is told to stop knows that no connection comes any more.
        self._port.stop()
        for process in self._processes.values():
            _send(process, signal.SIGTERM)


def _send(process: ForkProcess, number: signal.Signals) -> None:
    # As long as it is not known to have ended, its number is nobody else's.
    if process.pid is not None and process.exitcode is None:
        os.kill(process.pid, number)


def _exit_status(code: int) -> int:
    """What the service ends with after a worker's code, where a negative one names a signal."""
    if code == CANNOT_START:
        return 1
    return code if code > 0 else 128 - code


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket on which each signal arrives as a byte, between two steps of whoever reads it."""
    arrivals, departures = socket.socketpair()
    with arrivals, departures:
        departures.settimeout(0)
        wakeup = signal.set_wakeup_fd(departures.fileno())
        before = {s: signal.signal(s, lambda *_: None) for s in SIGNALS}
        try:
            yield arrivals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """A forked process must not take a signal in the parent's way, which would keep it running."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(settings: Settings, number: int, own_port: int, intake: Intake) -> None:
    """Be a worker: serve what is handed over, and a port that leads to this worker alone."""
    # A Ctrl-C reaches the whole group of the terminal, but the parent passes it on already.
    os.setpgrp()
    threading.Thread(target=_stop_with_the_parent, args=(intake,), daemon=True).start()
    log = make_logger(settings.log_level).bind(worker=number)
    try:
        serve(settings, [_own_socket(settings.host, own_port)], log, intake)
    except (ContractError, ServiceError) as error:
        sys.stderr.write(f"pneumo-serve: {' '.join(str(error).split())}\n")
        raise SystemExit(CANNOT_START) from None


def _own_socket(host: str, port: int) -> socket.socket:
    try:
        return bound(host, port)
    except OSError as error:
        raise StartError(
            f"A worker cannot listen on port {port}, which is its own: {error.strerror}."
        ) from error


def _stop_with_the_parent(intake: Intake) -> None:
    """Where the parent is killed, nobody else would stop its workers."""
    intake.wait_for_the_parent_to_die()
    os.kill(os.getpid(), signal.SIGTERM)
