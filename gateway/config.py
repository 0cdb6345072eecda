"""What an operator can set: one TOML file, whose path is ``PNEUMO_GATEWAY_CONFIG`` or an option."""

import os
import ssl
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gateway.errors import InvalidConfiguration

AeTitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Values = tuple[str, ...]
MIB = 1024 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Tls(_Section):
    """Certificates in PEM files, read again whenever one of them changes.

    Source: RFC 9325 (BCP 195): TLS 1.2 and later, forward secrecy, authenticated encryption;
    DICOM PS3.15 B.12.
    """

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    """Whom the peer must be certified by. As a server, asking for it makes TLS mutual."""

    def changed_at(self) -> tuple[int, ...]:
        """When each file last changed, in nanoseconds; OSError where one cannot be read."""
        files = (self.certificate, self.key, self.authorities)
        return tuple(file.stat().st_mtime_ns for file in files if file)

    def context(self, *, server: bool = False) -> ssl.SSLContext:
        """A context for connections; InvalidConfiguration where a file of it cannot be read."""
        if server and self.certificate is None:
            raise InvalidConfiguration("TLS: a listener needs a certificate and its key.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL")
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
            if self.authorities:
                context.load_verify_locations(self.authorities)
                context.verify_mode = ssl.CERT_REQUIRED
            elif not server:
                context.load_default_certs()
        except OSError as error:
            raise InvalidConfiguration(f"TLS: {error}") from error
        return context


class Peer(_Section):
    """An application entity that may open associations."""

    calling: AeTitle
    called: AeTitle | None = None
    """Only under this title of ours; any of them by default."""


class Dicom(_Section):
    """The DICOM listener."""

    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)
    ae_titles: tuple[AeTitle, ...] = Field(default=("PNEUMO",), min_length=1)
    """The titles that the gateway answers to. The first is its own when it calls."""
    peers: tuple[Peer, ...] = ()
    """Who may call; anybody where there is none."""
    max_associations: int = Field(default=20, ge=1)
    max_pdu_bytes: int = Field(default=256 * 1024, ge=4096, le=16 * MIB)
    idle_timeout_s: float = Field(default=60, gt=0)
    max_instances_per_s: float = Field(default=0, ge=0)
    """For each calling title; more are slowed down, never lost. 0 sets no limit."""
    tls: Tls | None = None


class Http(_Section):
    """The HTTP listener: STOW-RS, health, metrics, the queue page."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    key_file: Path | None = None
    """A bearer key, asked for on STOW-RS, and before the queue page names an identifier."""
    max_body_bytes: int = Field(default=2048 * MIB, ge=1)
    page_origins: Values = ()
    """The origins of services, such as ``https://reader.example``, whose page may have reports made
    by `POST /report`, with its reader's own key; none by default."""
    tls: Tls | None = None


class Service(_Section):
    """Where `POST /predict` is served."""

    urls: tuple[str, ...] = Field(default=("http://127.0.0.1:8000",), min_length=1)
    key_file: Path | None = None
    timeout_s: float = Field(default=60, gt=0)
    workers: int = Field(default=4, ge=1, le=64)
    """Images that are with the services at once."""
    tls: Tls | None = None


class Destination(_Section):
    """Where results go. Each has a queue of its own."""

    name: Name
    kind: Literal["dimse", "stow", "fhir"]
    host: str = "127.0.0.1"
    port: int = Field(default=104, ge=1, le=65535)
    ae_title: AeTitle = "ANY-SCP"
    storage_commitment: bool = False
    """Keep asking until the peer has promised to keep the object, where it offers to."""
    url: str = Field(default="", pattern=r"^(https?://[^/].*)?$")
    key_file: Path | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if self.kind != "dimse" and not self.url:
            raise ValueError(f"destination {self.name} needs a url")
        return self


class Rule(_Section):
    """Which instances a model reads. All that is said must hold; the first rule that holds counts.

    Each list has the values that are taken, with ``*`` and ``?`` as in file names; ``!`` in front
    excludes, and an empty text stands for an attribute without a value.
    """

    name: Name
    modality: Values = ()
    sop_class: Values = ()
    """UIDs, or the Standard's names."""
    body_part: Values = ()
    view: Values = ()
    image_type: Values = ()
    """Taken where one of the image's values is."""
    calling: Values = ()
    called: Values = ()

    unit: Literal["image", "series"] = "image"
    model: str | None = None
    """By default the one that the service chooses."""
    destinations: tuple[Name, ...] = Field(min_length=1)
    quiet_s: float = Field(default=30, ge=0)
    """How long after the last slice a series counts as complete."""
    count_from: Name | None = None
    """A destination of kind ``dimse`` that is asked by C-FIND how many slices the series has."""
    secondary_capture: bool = False
    """A picture with the notice burnt in and the heatmap over it."""
    activation_map: bool = False
    """The heatmap as a fractional segmentation (SEG), for viewers that overlay it."""


class Retention(_Section):
    """When what was received is erased. What has work to do, or is parked in it, never is."""

    max_age_h: float = Field(default=72, gt=0)
    max_bytes: int = Field(default=50 * 1024 * MIB, ge=0)


class Audit(_Section):
    """Where audit messages go, RFC 5424 over TLS (or, on a trusted host, TCP)."""

    host: str
    port: int = Field(default=6514, ge=1, le=65535)
    tls: Tls | None = None


class Config(_Section):
    """The settings of one gateway; read once, never changed."""

    state_dir: Path = Path("gateway-state")
    database_url: str | None = None
    """A SQLAlchemy URL, as ``postgresql+psycopg://…``; by default SQLite in the state folder."""
    min_free_bytes: int = Field(default=1024 * MIB, ge=0)
    """Below this much free disk nothing is taken, with a status that asks to try again."""
    watch_dirs: tuple[Path, ...] = ()
    """Folders whose files are taken in, and removed once they are."""
    give_up_after_h: float = Field(default=168, gt=0)
    """How long a transient failure is retried before it is parked."""
    max_backoff_s: float = Field(default=60, gt=0)
    dicom: Dicom = Dicom()
    http: Http = Http()
    service: Service = Service()
    destinations: tuple[Destination, ...] = ()
    rules: tuple[Rule, ...] = ()
    retention: Retention = Retention()
    audit: Audit | None = None

    @model_validator(mode="after")
    def _names_hold(self) -> Self:
        kinds = {destination.name: destination.kind for destination in self.destinations}
        rules = {rule.name for rule in self.rules}
        if len(kinds) < len(self.destinations) or len(rules) < len(self.rules):
            raise ValueError("the name of a destination or rule is given twice")
        for rule in self.rules:
            wanted = {name for name in (*rule.destinations, rule.count_from) if name}
            if unknown := sorted(wanted - kinds.keys()):
                raise ValueError(f"rule {rule.name} names unknown destinations: {unknown}")
            if rule.count_from and kinds[rule.count_from] != "dimse":
                raise ValueError(
                    f"rule {rule.name} counts from {rule.count_from}, which is not of kind dimse"
                )
        return self

    @property
    def database(self) -> str:
        """The URL of the database."""
        return self.database_url or f"sqlite:///{(self.state_dir / 'queue.db').absolute()}"


def read_config(path: Path | None) -> Config:
    """Read the settings; InvalidConfiguration says what does not hold together."""
    path = path or Path(os.environ.get("PNEUMO_GATEWAY_CONFIG", "gateway.toml"))
    try:
        return Config.model_validate(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        detail = _in_words(error) if isinstance(error, ValidationError) else str(error)
        raise InvalidConfiguration(f"{path}: {detail}") from error


def read_key(file: Path | None) -> str | None:
    """Read a bearer key, anew for each use; InvalidConfiguration where the file is empty."""
    if file is None:
        return None
    key = file.read_text().strip()
    if not key:
        raise InvalidConfiguration(f"{file}: the key is empty.")
    return key


def _in_words(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()
    )
