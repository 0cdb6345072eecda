"""Starts one server, waits for its first answer, and ends all of its processes, and no others."""

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from bench import processes
from bench.errors import ServerFailed
from bench.processes import Memory, ProcessId
from bench.wire import HOST

START_UP_LIMIT_S = 180.0
GRACE_S = 20.0
POLL_S = 0.01
ANSWER_TIMEOUT_S = 30
LOG_LINES, LOG_CHARACTERS = 5, 1000
# Source: prctl(2).
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How to start a server: its command line, folder, and what is added to the environment."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body."""

    status: int
    body: bytes


class Server:
    """A running server, with every process that it started."""

    def __init__(self, command: ServerCommand, port: int) -> None:
        """Start it.

        Args:
            command: What to run.
            port: Where it is going to listen on the loopback interface.
        """
        self.port = port
        self._log: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed in stop
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - the benchmark's own table of commands
            command.arguments,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # Some servers leave their children to init; so they stay in this server's tree.
            preexec_fn=_adopt_orphans,
        )
        self._seen: frozenset[ProcessId] = frozenset()

    def ready(self, request: bytes) -> float:
        """Wait until a request is answered with 200.

        Args:
            request: A whole HTTP request.

        Returns:
            Seconds since the start.

        Raises:
            ServerFailed: It ended, or did not answer in time.
        """
        while time.perf_counter() - self._began < START_UP_LIMIT_S:
            if self._process.poll() is not None:
                raise ServerFailed(f"it ended before its first answer: {self.log_tail()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask(request).status == http.HTTPStatus.OK:
                    return time.perf_counter() - self._began
            time.sleep(POLL_S)
        raise ServerFailed(f"no answer within {START_UP_LIMIT_S:.0f} s: {self.log_tail()}")

    def ask(self, request: bytes) -> HttpAnswer:
        """Send one request on a connection of its own.

        Raises:
            OSError: There is no connection.
            HTTPException: What came is no HTTP answer.
        """
        with socket.create_connection((HOST, self.port), ANSWER_TIMEOUT_S) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return HttpAnswer(answer.status, answer.read())

    def processes(self) -> frozenset[ProcessId]:
        """Its processes that run now."""
        now = processes.tree(self._process.pid)
        self._seen |= now
        return now

    def memory(self) -> Memory:
        """What its processes have in memory now."""
        return processes.memory(self.processes())

    def cpu_s(self) -> float:
        """The CPU time that its processes have spent so far."""
        return processes.cpu_s(self.processes())

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_LINES:])[-LOG_CHARACTERS:]

    def stop(self) -> None:
        """Ask it to end, wait, and end what is left of its own processes."""
        self.processes()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        deadline = time.monotonic() + GRACE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            self.processes()
            time.sleep(POLL_S)
        while left := [process for process in self._seen if processes.is_running(process)]:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(POLL_S)
            self._process.poll()
        self._process.wait()
        self._log.close()


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _adopt_orphans() -> None:
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
