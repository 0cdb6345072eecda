"""What the benchmark tells a peer: one JSON object in the environment variable BENCH_PEER."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from bench.results import BodyMode, Provider

VARIABLE = "BENCH_PEER"


class PeerSettings(BaseModel):
    """What may be tuned.

    ``workers`` counts processes, or what the peer calls replicas. ``threads`` is within a worker,
    where the peer lets one choose. ``intra_op_threads`` is within one run of the model, 0 leaves it
    to the runtime. ``max_batch`` above 1 turns the peer's own batching on. ``environment`` is for
    switches that the peer reads from there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: BodyMode = "raw"
    workers: int = 1
    threads: int = 1
    intra_op_threads: int = 1
    max_batch: int = 1
    environment: Mapping[str, str] = {}

    def __str__(self) -> str:
        """In words, for the report."""
        words = [
            f"{self.body} body",
            _plural(self.workers, "worker"),
            _plural(self.threads, "thread") if self.threads > 1 else "",
            f"{self.intra_op_threads or 'default'} intra-op",
            f"batch {self.max_batch}" if self.max_batch > 1 else "",
            *(f"{name}={value}" for name, value in self.environment.items()),
        ]
        return ", ".join(word for word in words if word)


class PeerConfig(BaseModel):
    """All that a peer needs to start. ``folder`` is an empty one for whatever it wants to write."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int
    bundle: Path
    provider: Provider
    cores: int
    folder: Path
    keras_model: Path | None
    settings: PeerSettings

    @classmethod
    def read(cls) -> Self:
        """Read it from the environment."""
        return cls.model_validate_json(os.environ[VARIABLE])

    def environment(self) -> dict[str, str]:
        """The environment variables that hand it over."""
        return {VARIABLE: self.model_dump_json(), **self.settings.environment}


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
