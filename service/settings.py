"""What an operator can set: environment variables that begin with ``PNEUMO_``."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contract.manifest import Precision
from service.cpus import available_cpus
from service.errors import InvalidConfiguration

Provider = Literal["auto", "cuda", "cpu", "tensorrt"]
Device = Annotated[int, Field(ge=0)]
MIB = 1024 * 1024
MAX_PORT = 65535


class Settings(BaseSettings):
    """The settings of one service process; read once, never changed."""

    model_config = SettingsConfigDict(
        env_prefix="PNEUMO_",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    models_dir: Path = Path(__file__).resolve().parents[1] / "models"
    """The folder of model bundles, ``<name>/<version>/``; by default the one that is shipped."""

    default_model: str | None = None
    """The model for an image whose modality names no other; by default the one for radiographs
    with the most findings."""

    provider: Provider = "auto"
    """Where models run. ``cuda`` and ``tensorrt`` start on nothing else; ``auto`` is CUDA, or the
    CPU if it must be."""

    gpu_devices: Annotated[tuple[Device, ...], NoDecode, Field(min_length=1)] = (0,)
    """The GPUs that run models, such as ``0,1``: each has a copy of every model."""

    tensorrt_cache_dir: Path | None = None
    """A folder that keeps the engines that TensorRT builds; without it, each start builds them."""

    precision: Precision = "fp32"
    """Which file of a bundle runs: ``int8`` is for CPUs, ``fp16`` for GPUs. A bundle that lacks it
    is served in ``fp32``, which the log and every answer say."""

    gpu_mem_limit_bytes: int = Field(default=4096 * MIB, ge=64 * MIB)
    """The most GPU memory that the arena of one model may grow to."""

    host: str = "127.0.0.1"
    """The address to listen on; the loopback, unless told otherwise."""

    port: int = Field(default=8000, ge=0, le=MAX_PORT)
    """The TCP port to listen on; 0 takes a free one."""

    workers: int = Field(default=1, ge=1, le=1024)
    """Processes that share the port, each with its own models, queue and budgets; each also listens
    on a port of its own, the next ones. More than one needs ``cpu`` as the provider, or a GPU each.
    """

    max_files: int = Field(default=32, ge=1)
    """The most files in one request."""

    max_body_bytes: int = Field(default=64 * MIB, ge=1)
    """The largest request body, counted as it arrives."""

    receive_budget_bytes: int = Field(default=256 * MIB, ge=1)
    """The most bytes of all request bodies together, arriving or held; more are answered with 429.
    """

    receive_timeout_s: float = Field(default=60, gt=0)
    """How long a client may send nothing of its body, or too little; then it is answered with 408.
    """

    max_pixels: int = Field(default=100_000_000, ge=1)
    """The largest image, in pixels, as its header says."""

    request_deadline_s: float = Field(default=30, gt=0)
    """How long a request may take once its body has arrived; later it is answered with 429."""

    queue_limit: int = Field(default=128, ge=1)
    """The most images in flight, waiting or in work; more are answered with 429."""

    engines: int = Field(default=0, ge=0, le=1024)
    """Processes that read the images of ``/predict`` and run the models of the CPU on them. They do
    not wait for each other's interpreter, and one that a file crashes takes nothing else with it; 0
    leaves it to threads, which takes less memory."""

    decode_workers: int = Field(default_factory=available_cpus, ge=1)
    """Threads that decode images, draw heatmaps, and run models of the CPU that gain nothing from
    batches; by default the CPUs of the cgroup."""

    inference_workers: int = Field(default_factory=available_cpus, ge=1)
    """Threads that run batches on a CPU; by default the CPUs of the cgroup. A GPU has one."""

    intra_op_threads: int = Field(default=1, ge=1)
    """Threads within one model run on a CPU. One is best where many images come at once."""

    thread_split_file: Path | None = None
    """What ``pneumo-serve threads --record`` has written: the three above take their values from
    it where they are not set, in a process that has as many CPUs, for models on the CPU."""

    api_keys_file: Path | None = None
    """A JSON file ``{name: {"sha256": hex, "scopes": ["predict", "read", "admin"]}}`` of API
    keys.

    Without it, no key is asked for, and nobody may change which models are served.
    """

    models_poll_s: float = Field(default=0, ge=0)
    """How often the models folder is looked at for new, changed and removed bundles; 0 for never.
    """

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/]")
    """The base address of an OTLP collector, such as ``http://collector:4318``; none by default."""

    shutdown_timeout_s: int = Field(default=35, ge=0)
    """How long a stop waits for requests that were already accepted."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""

    @field_validator("gpu_devices", mode="before")
    @classmethod
    def _devices_of_a_list(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _each_gpu_is_named_once(self) -> Self:
        if len(set(self.gpu_devices)) < len(self.gpu_devices):
            raise ValueError("PNEUMO_GPU_DEVICES names a GPU twice")
        return self

    @model_validator(mode="after")
    def _each_worker_has_a_port(self) -> Self:
        if self.workers > 1 and self.port + self.workers > MAX_PORT:
            raise ValueError("PNEUMO_PORT leaves no port for each of PNEUMO_WORKERS above it")
        return self

    @model_validator(mode="after")
    def _no_two_workers_share_a_gpu(self) -> Self:
        if self.workers == 1 or self.provider == "cpu":
            return self
        if self.provider == "auto":
            raise ValueError(
                "PNEUMO_WORKERS above 1 needs PNEUMO_PROVIDER to be cpu, cuda or tensorrt"
            )
        if self.workers > len(self.gpu_devices):
            raise ValueError(
                "PNEUMO_WORKERS must not be more than the GPUs of PNEUMO_GPU_DEVICES: each worker "
                "would load every model on a GPU that another one has"
            )
        return self

    @model_validator(mode="after")
    def _a_full_request_fits_the_queue(self) -> Self:
        if self.max_files > self.queue_limit:
            raise ValueError("PNEUMO_MAX_FILES must not be larger than PNEUMO_QUEUE_LIMIT")
        return self

    @model_validator(mode="after")
    def _a_full_body_fits_the_budget(self) -> Self:
        if self.receive_budget_bytes < self.max_body_bytes:
            raise ValueError(
                "PNEUMO_RECEIVE_BUDGET_BYTES must not be less than PNEUMO_MAX_BODY_BYTES"
            )
        return self


def read_settings(**overrides: object) -> Settings:
    """Read the environment; an override that is not None goes before it.

    Raises:
        InvalidConfiguration: A value is not what its setting takes.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()
        )
        raise InvalidConfiguration(f"{problems}. See the PNEUMO_ variables.") from error
