"""Runs the project's own compose files, under a project name and a port of its own."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.stack import free_port

ROOT = Path(__file__).parents[2]
# The files that serve without a GPU.
CPU = ("docker-compose.yml", "docker-compose.cpu.yml")
# And what stands around the service.
ALL = (*CPU, "docker-compose.operations.yml")


@dataclass(frozen=True)
class Compose:
    """One project: some compose files and the environment that they read."""

    files: tuple[str, ...]
    port: int
    environment: dict[str, str]

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["docker", "compose", "--project-name", self.name]
        for file in self.files:
            command += ["--file", file]
        return subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=check,
        )

    @property
    def name(self) -> str:
        return f"pneumoscope-test-{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def container(self) -> dict[str, object]:
        [facts] = json.loads(docker("inspect", self("ps", "--all", "--quiet").stdout.strip()))
        return dict(facts)


@contextmanager
def project(*files: str, **environment: str) -> Iterator[Compose]:
    port = free_port()
    compose = Compose(files, port, {"PNEUMO_PUBLISHED_PORT": str(port), **environment})
    try:
        yield compose
    finally:
        compose("down", "--timeout", "30", "--volumes", check=False)


def docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
