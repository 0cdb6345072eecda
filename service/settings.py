"""What an operator can set: environment variables ``PNEUMO_…``, told in docs/operations.md."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contract.manifest import Precision
from service.errors import StartError
from service.machine import Provider, available_cpus

MIB = 1024 * 1024
MAX_DECODERS = 4
# Images in flight for each CPU.
PER_CPU = 16
# What was a setting, and what to do in its place; this list goes with the next release.
RETIRED: Mapping[str, str] = {
    "PNEUMO_DECODE_WORKERS": "PNEUMO_THREADS sets the threads",
    "PNEUMO_ENGINES": "decoders of their own are always there: see PNEUMO_DECODERS",
    "PNEUMO_GPU_DEVICES": "start one process for each GPU, with CUDA_VISIBLE_DEVICES",
    "PNEUMO_INFERENCE_WORKERS": "PNEUMO_THREADS sets the threads",
    "PNEUMO_INTRA_OP_THREADS": "each image has one core, and several are in work at once",
    "PNEUMO_TENSORRT_CACHE_DIR": "TensorRT is not used any more",
    "PNEUMO_THREAD_SPLIT_FILE": "the default is what it would have found",
}
# What the compose files and the gateway read, and what Kubernetes tells of services in the pod.
_OTHERS = re.compile(
    r"PNEUMO_(MEMORY|PUBLISHED_PORT|DATA|IMAGE|HTTPS_ADDRESS|GRAFANA_PASSWORD|GATEWAY_.*|(.+_)?SERVICE_(HOST|PORT)(_.*)?|.+_PORT(_.*)?"
    r"|PORT_\d+_.+)"
)


def _words(given: object) -> object:
    """Take a list of names apart, ``a, b``."""
    if not isinstance(given, str):
        return given
    return [word for part in given.split(",") if (word := part.strip().lower())]


def _port() -> int:
    told = os.environ.get("PORT", "")
    return int(told) if told.isdecimal() else 8000


def _no_link(given: object) -> object:
    """Ignore what Kubernetes tells of a service named pneumo: ``tcp://10.0.0.1:8000``."""
    return _port() if isinstance(given, str) and re.match("[a-z]+://", given) else given


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


def _queue_limit(given: dict[str, int]) -> int:
    """Few enough that what is accepted is soon answered, and room for a full request."""
    per_worker = PER_CPU * available_cpus() // given.get("workers", 1)
    return max(given.get("max_files", 0) + PER_CPU, per_worker)


class Settings(BaseSettings):
    """The settings of one service process; read once, never changed."""

    model_config = SettingsConfigDict(
        env_prefix="PNEUMO_", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

    models_dir: Path = Path(__file__).resolve().parents[1] / "models"
    """The folder of model bundles, ``<name>/<version>/``; by default the one that is shipped."""
    trusted_key_file: Path | None = None
    """An Ed25519 public key in PEM: bundles that its holder has not signed are refused."""
    default_model: str | None = None
    """The model for an image whose modality names no other; by default the one for radiographs
    with the most findings."""
    provider: Provider = "auto"
    """Where models run. ``cuda`` starts on nothing else; ``auto`` is CUDA, else the CPU."""
    precision: Precision | Literal["auto"] = "auto"
    """Which file of a bundle runs; ``auto`` is ``int8`` where the CPU gains by it, or ``fp32``."""
    gpu_mem_limit_bytes: int = Field(default=4096 * MIB, ge=64 * MIB)
    """The most GPU memory that the arena of one model may grow to."""
    host: str = "127.0.0.1"
    """The address to listen on; the loopback, unless told otherwise."""
    port: Annotated[int, BeforeValidator(_no_link)] = Field(default_factory=_port, ge=0, le=65535)
    """The TCP port to listen on; 0 takes a free one. By default what PORT says, else 8000."""
    tls_certificate: Path | None = None
    """A certificate with its chain, in PEM; with it the service speaks HTTPS alone."""
    tls_key: Path | None = None
    """The key of the certificate, in PEM."""
    tls_client_authorities: Path | None = None
    """The authorities, in PEM, whose certificates callers must show; by default none."""
    workers: int = Field(default=1, ge=1, le=1024)
    """Processes that share the port, each with its own models, queue and budgets; for the CPU."""
    threads: int = Field(default_factory=available_cpus, ge=1)
    """Threads that work on images, each on one; by default the CPUs of the cgroup."""
    decoders: int = Field(default_factory=lambda: min(available_cpus(), MAX_DECODERS), ge=1, le=64)
    """The most processes that decode what is not plain; by default the cgroup's CPUs, at most 4."""
    decode_memory_bytes: int | None = Field(default=None, ge=0)
    """The most memory of all decoders; by default the cgroup's limit less 500 MB, at most 1 GB."""
    max_files: int = Field(default=32, ge=1)
    """The most files in one request."""
    max_body_bytes: int = Field(default=64 * MIB, ge=1)
    """The largest request body, counted as it arrives."""
    receive_budget_bytes: int = Field(default=256 * MIB, ge=1)
    """The most bytes of all request bodies together, arriving or held."""
    receive_timeout_s: float = Field(default=60, gt=0)
    """How long a client may send nothing of its body, or too little."""
    max_pixels: int = Field(default=100_000_000, ge=1)
    """The largest image, in pixels, as its header says."""
    request_deadline_s: float = Field(default=30, gt=0)
    """How long a request may take once its body has arrived."""
    queue_limit: int = Field(default_factory=_queue_limit, ge=1)
    """The most images in flight, waiting or in work."""
    api_keys_file: Path | None = None
    """A JSON file of keys ``{name: {"sha256": hex, "scopes": ["predict", "read", "admin"]}}``."""
    api_keys: SecretStr | None = None
    """The content of such a file, where a platform has variables and no files."""
    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://[^/]")
    """An OpenID provider whose access tokens are taken as keys are; none by default."""
    oidc_audience: str = "pneumoscope"
    """What the audience of its tokens must be."""
    rate_per_minute: int = Field(default=0, ge=0)
    """How often each caller may ask, unless its key says otherwise; 0 is without a limit."""
    audit_url: SecretStr | None = None
    """The audit trail's database, ``sqlite:////path`` or ``postgresql+psycopg://…``; or none."""
    audit_failure: Literal["stop", "go-on"] = "stop"
    """Where the trail cannot be written: answer nothing, or go on and write it later."""
    insecure: bool = False
    """Whether an address that others may reach is listened on although no keys are asked for."""
    allowed_hosts: Words = ()
    """The names that a Host header may have; by default the loopback's where nobody else can reach
    the service and it has no keys, and any elsewhere."""
    cors_origins: Words = ()
    """The origins whose pages may use the service; by default its own alone."""
    page_gateway: str | None = Field(default=None, pattern=r"^https?://[\w.\[\]:-]+$")
    """The address of a gateway that the page asks for DICOM reports; none by default."""
    echo_uids: bool = True
    """Whether answers name the UIDs of a DICOM file. Logs never do."""
    models_poll_s: float = Field(default=0, ge=0)
    """How often one worker looks at the models folder for changed bundles; 0 for never."""
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/]")
    """The base address of an OTLP collector, such as ``http://collector:4318``; none by default."""
    shutdown_timeout_s: int = Field(default=35, ge=0)
    """How long a stop waits for requests that were already accepted."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""

    @property
    def is_private(self) -> bool:
        """Whether programs of this machine alone can reach the service, and need no key."""
        return is_loopback(self.host) and not self.knows_callers

    @property
    def knows_callers(self) -> bool:
        """Whether a key or a token is asked for."""
        return bool(self.api_keys_file or self.api_keys or self.oidc_issuer)

    def check_exposure(self) -> None:
        """Raise StartError where others can reach the service without a key, and nobody said so."""
        if not (is_loopback(self.host) or self.knows_callers or self.insecure):
            raise StartError(
                f"Whoever reaches {self.host} could use the service, for no keys are asked for. "
                "Set PNEUMO_API_KEYS_FILE, or PNEUMO_INSECURE=1 where something else guards it."
            )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.workers > 1 and self.models_poll_s:
            raise ValueError(
                "PNEUMO_MODELS_POLL_S is for one worker: each would look for itself, and clients "
                "would meet different models. Send SIGHUP to have all of them follow the folder"
            )
        if self.workers > 1 and self.provider != "cpu":
            raise ValueError(
                "PNEUMO_WORKERS above 1 needs PNEUMO_PROVIDER=cpu: each worker would load every "
                "model on the same GPU"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("PNEUMO_TLS_CERTIFICATE and PNEUMO_TLS_KEY go together")
        if self.tls_client_authorities and not self.tls_certificate:
            raise ValueError("PNEUMO_TLS_CLIENT_AUTHORITIES needs PNEUMO_TLS_CERTIFICATE")
        is_blank = self.api_keys is not None and not self.api_keys.get_secret_value().strip()
        if is_blank and not (self.api_keys_file or self.oidc_issuer):
            raise ValueError("PNEUMO_API_KEYS is empty: give it keys, or take it out")
        if self.max_files > self.queue_limit:
            raise ValueError("PNEUMO_MAX_FILES must not be larger than PNEUMO_QUEUE_LIMIT")
        if self.receive_budget_bytes < self.max_body_bytes:
            raise ValueError(
                "PNEUMO_RECEIVE_BUDGET_BYTES must not be less than PNEUMO_MAX_BODY_BYTES"
            )
        return self


@lru_cache(64)
def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_settings(**overrides: object) -> Settings:
    """Read the environment; an override that is not None goes before it.

    Raises StartError where a value is not what its setting takes, or a name is none of a setting.
    """
    check_names()
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}"
            for e in error.errors()
            # A default that follows from a wrong setting is no mistake of its own.
            if e["type"] != "default_factory_not_called"
        )
        raise StartError(f"{problems}. See the PNEUMO_ variables.") from error


def check_names(environment: Mapping[str, str] = os.environ) -> None:
    """Raise StartError for a variable of no setting, nor another program's: it may be misspelt."""
    known = {f"PNEUMO_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(map(str.upper, environment)):
        foreign = not name.startswith("PNEUMO_") or _OTHERS.fullmatch(name)
        if foreign or name in known or name in RETIRED:
            continue
        nearest = get_close_matches(name, known, 1, 0)[0]
        raise StartError(f"There is no setting {name}. Did you mean {nearest}?")


def retired_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that are set and have no effect any more, each with what to do instead."""
    # An orchestrator may hand empty ones through.
    return {name: advice for name, advice in RETIRED.items() if environment.get(name)}
