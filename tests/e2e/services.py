"""A real service in a process of its own, which a test can stop and start again."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0


class Service:
    """``python -m service run`` on a loopback port that stays the same over restarts."""

    def __init__(
        self, models: Path, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare, without starting.

        Args:
            models: The model repository.
            log: Where the service's own log goes.
            environment: More ``PNEUMO_`` variables.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._models = models
        self._log = log
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start, and return when images are taken."""
        command = (
            *(sys.executable, "-m", "service", "run", "--port", str(self.port)),
            *("--provider", "cpu", "--models-dir", str(self._models)),
        )
        inherited = {n: v for n, v in os.environ.items() if n != "PNEUMO_SCREENSHOTS"}
        environment = {**inherited, "PNEUMO_LOG_LEVEL": "warning", **self._environment}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log
            )
        self._wait()

    def stop(self) -> None:
        """Stop, and return when the process has gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=START_TIMEOUT_S)
            self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(urllib.error.URLError, ConnectionError),
                urllib.request.urlopen(f"{self.url}/health/ready", timeout=1),  # noqa: S310
            ):
                return
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the service did not start:\n{self._log.read_text()[-2000:]}")


def keys(**scopes: tuple[str, Sequence[str]]) -> str:
    """What PNEUMO_API_KEYS holds for keys by name, each with its scopes."""
    return json.dumps(
        {
            name: {"sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": allowed}
            for name, (key, allowed) in scopes.items()
        }
    )


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
