"""Starts one server, and knows the memory and the CPU time of its process group.

Source: proc_pid_stat(5), proc_pid_smaps(5).
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, Self

from bench.load import HOST

START_UP_LIMIT_S = 120.0
POLL_S = 0.01
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat, counted from the one after the command's name.
_STATE, _GROUP, _CPU = 0, 2, slice(11, 15)


class ServerFailed(Exception):
    """A server did not start, or went away."""


class Command(NamedTuple):
    """How to start a server: its command line, and what is added to the environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Server:
    """A running server, with every process that it started; a context manager that ends them."""

    def __init__(self, command: Command, port: int) -> None:
        """Start what is going to listen on a port of the loopback interface."""
        self.port = port
        self._log = TemporaryFile()  # noqa: SIM115 - closed in stop
        self._began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - the benchmark's own table of commands
            command.arguments,
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.root = self._process.pid

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all of its processes."""
        self.stop()

    def ready(self, request: bytes) -> float:
        """Wait until a request is answered with 200; the seconds since the start.

        Raises:
            ServerFailed: It ended, or did not answer in time.
        """
        while time.perf_counter() - self._began < START_UP_LIMIT_S:
            if self._process.poll() is not None:
                raise ServerFailed(f"it ended before its first answer: {self._log_tail()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask(request)[0] == http.HTTPStatus.OK:
                    return time.perf_counter() - self._began
            time.sleep(POLL_S)
        raise ServerFailed(f"no answer within {START_UP_LIMIT_S:.0f} s: {self._log_tail()}")

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send one request on a connection of its own; status and body of the answer.

        Raises:
            OSError, HTTPException: There is no connection, or no HTTP answer.
        """
        with socket.create_connection((HOST, self.port), 30) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()

    def settle(self) -> None:
        """Wait until what it sets up behind its first answer takes under 5 % of a core, or 15 s."""
        busy_s, give_up = 1.0, time.perf_counter() + 15
        while busy_s > 0.05 * 0.5 and time.perf_counter() < give_up:
            before = self.cpu_s()
            time.sleep(0.5)
            busy_s = self.cpu_s() - before

    def memory_bytes(self) -> int:
        """What its processes have in memory, with shared pages shared out (PSS)."""
        lines = [
            line for pid in self.processes() for line in _read(pid, "smaps_rollup").splitlines()
        ]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

    def cpu_s(self) -> float:
        """The CPU time that its processes, and their children that have ended, have spent."""
        stats = [stat for pid in self.processes() if (stat := _stat(pid))]
        return sum(int(field) for stat in stats for field in stat[_CPU]) / _TICKS_PER_S

    def stop(self) -> None:
        """Ask it to end, wait, and end what is left of its own processes."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        while self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.root, signal.SIGKILL)
            time.sleep(POLL_S)
        self._process.wait()
        self._log.close()

    def processes(self) -> list[int]:
        """The numbers of the processes of its group that run now, whoever their parent is."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        stats = ((pid, _stat(pid)) for pid in pids)
        return [
            pid
            for pid, stat in stats
            if stat and int(stat[_GROUP]) == self.root and stat[_STATE] != "Z"
        ]

    def _log_tail(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-5:])[-1000:]


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may itself hold spaces and parentheses.
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    """What the kernel says of a process; nothing where it has ended meanwhile."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text()
    return ""
