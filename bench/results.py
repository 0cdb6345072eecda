"""What a run of the benchmark found: written as JSON, read by the report."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

BodyMode = Literal["raw", "multipart"]
Role = Literal["ours", "before", "variant", "peer"]
Provider = Literal["cpu", "cuda"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Frozen):
    """Where it was measured. ``cores`` is what the process may use, not what the host has."""

    cpu_model: str
    cores: int
    memory_bytes: int
    gpu: str | None
    system: str
    python: str
    packages: dict[str, str]


class Images(_Frozen):
    """What was posted. ``real`` says whether they are radiographs or drawn ones."""

    real: bool
    count: int
    mean_bytes: int
    mean_pixels: int


class ModelFacts(_Frozen):
    """The model under test."""

    name: str
    version: int
    digest: str
    bytes: int
    height: int
    width: int


class LoadFigures(_Frozen):
    """The figures of one load; see ``samples.figures``.

    ``throughput`` is answers with status 200 per second; latencies are theirs too, and None where
    there was none. ``statuses`` counts every request of the window, those without an answer too.
    ``generator_cores`` is the load generator's own use of the CPU, in cores.
    """

    throughput: float
    throughput_by_round: tuple[float, ...]
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    statuses: dict[str, int]
    generator_cores: float


class Point(_Frozen):
    """One load on one server.

    ``cpu_ms_per_request`` is what all processes of the server spent, per answer;
    ``foreign_cores`` is what processes other than the server and the load generator used.
    """

    load: LoadFigures
    cpu_ms_per_request: float
    foreign_cores: float


class SplitRate(_Frozen):
    """The in-process limit with one way to use the cores, in images per second, by round."""

    workers: int
    intra_op_threads: int
    batch: int
    images_per_s: tuple[float, ...]


class Limit(_Frozen):
    """The in-process limit: no HTTP, no client.

    ``images_per_s`` is the best split's rate, the median of its rounds; on a GPU the lesser of
    ``decode_per_s`` (decode and resize alone, on all cores) and ``run_per_s`` (the model alone).
    ``sequential_ms`` is one image at a time, at the best number of threads within the model.
    ``cpu_ms_per_image`` is the best split's CPU time.
    """

    images_per_s: float
    splits: tuple[SplitRate, ...]
    decode_per_s: float
    run_per_s: float
    sequential_ms: float
    cpu_ms_per_image: float


class Trial(_Frozen):
    """A short measurement that chose a peer's settings, with 16 connections."""

    settings: str
    images_per_s: float | None


class TargetResult(_Frozen):
    """One server, with one kind of body.

    ``not_measured`` says why there are no figures. ``closed`` is by number of connections; ``open``
    is a load at 70 % of the server's own best throughput, paced by the clock.
    ``max_difference`` is the largest probability difference to the in-process session, over all
    images. ``resident_bytes`` adds up what each process has in memory, ``proportional_bytes``
    counts pages that processes share only once; both are the largest seen. ``start_up_s`` is from
    the start of the process to its first answer, by round.
    """

    key: str
    title: str
    role: Role
    body: BodyMode
    settings: str = ""
    not_measured: str | None = None
    trials: tuple[Trial, ...] = ()
    start_up_s: tuple[float, ...] = ()
    max_difference: float | None = None
    resident_bytes: int = 0
    proportional_bytes: int = 0
    closed: dict[int, Point] = {}
    open: Point | None = None


class Overload(_Frozen):
    """This service, offered a multiple of what it can do.

    ``load`` counts an answer as good only if it came within ``deadline_s``. ``health`` is
    ``/health/live``, asked for 20 times a second meanwhile.
    """

    factor: float
    offered_per_s: float
    peak_per_s: float
    deadline_s: float
    load: LoadFigures
    health: LoadFigures


class Soak(_Frozen):
    """This service, asked very often: resident bytes, sampled in even steps of requests answered.

    The first entry is taken after a tenth of the requests, when every buffer has been used.
    """

    requests: int
    resident_bytes: tuple[int, ...]
    load: LoadFigures


class Results(_Frozen):
    """One run of the benchmark."""

    schema_version: Literal[1] = 1
    started_at: datetime
    finished_at: datetime
    revision: str
    before: str | None
    provider: Provider
    quick: bool
    rounds: int
    seconds: float
    machine: Machine
    images: Images
    model: ModelFacts
    limit: Limit
    targets: tuple[TargetResult, ...]
    overload: Overload | None
    soak: Soak | None

    @property
    def measured(self) -> tuple[TargetResult, ...]:
        """The targets that have figures."""
        return tuple(target for target in self.targets if not target.not_measured)
