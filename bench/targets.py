"""What is measured: this service, earlier and otherwise set versions of it, and its peers."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from bench.answers import OTHER_PRECISION, TOLERANCE
from bench.errors import NoModelUnderTest, UnknownTarget
from bench.peers.config import PeerSettings
from bench.results import BodyMode, Provider, Role
from bench.servers import ServerCommand
from bench.wire import HOST, multipart_request, raw_request
from contract.manifest import ModelManifest, read_manifest
from service.repository import find_bundles, widest

REPOSITORY = Path(__file__).resolve().parents[1]
PATH = "/predict"
OURS = "pneumoscope"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all servers have in common in one run."""

    bundle: Path
    models: Path
    provider: Provider
    cores: int
    scratch: Path
    keras_model: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One server, with one kind of body.

    ``module`` must be installed; ``candidates`` are the settings that are tried out first, the
    first of them is the default. ``start`` makes the command that runs it on a port.
    ``environment`` is what is added to the service's own settings.
    """

    key: str
    title: str
    role: Role
    module: str
    candidates: tuple[PeerSettings, ...]
    start: Callable[[Conditions, PeerSettings, int], ServerCommand]
    needs_keras_model: bool = False
    environment: Mapping[str, str] | None = None

    @property
    def tolerance(self) -> float:
        """How much its probabilities may differ from those of the model in fp32."""
        precision = (self.environment or {}).get("PNEUMO_PRECISION", "fp32")
        return TOLERANCE if precision == "fp32" else OTHER_PRECISION

    def describe(self, settings: PeerSettings) -> str:
        """How it is set, in words."""
        if self.role == "peer":
            return str(settings)
        changes = [f"{name}={value}" for name, value in (self.environment or {}).items()]
        return ", ".join([f"{settings.body} body", *(changes or ["default settings"])])

    def missing(self, conditions: Conditions) -> str | None:
        """Why it cannot be measured, or None."""
        if find_spec(self.module) is None:
            return f"{self.module} is not installed"
        if self.needs_keras_model and conditions.keras_model is None:
            return "no Keras model was given (--keras)"
        return None


@dataclass(frozen=True, slots=True)
class Variant:
    """This service once more, with other environment variables beside its best settings."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)


def prepare(
    models: Path, provider: Provider, cores: int, scratch: Path, keras_model: Path | None
) -> Conditions:
    """Find the bundle to measure with, and make a model repository that holds nothing else.

    Raises:
        NoModelUnderTest: There is no bundle in ``models``.
        InvalidManifest: Its manifest is not one.
    """
    bundle, manifest = find_bundle(models)
    repository = scratch / "models"
    (repository / manifest.name).mkdir(parents=True)
    (repository / manifest.name / str(manifest.version)).symlink_to(bundle.resolve())
    keras_model = keras_model.resolve() if keras_model else None
    return Conditions(bundle.resolve(), repository, provider, cores, scratch, keras_model)


def find_bundle(models: Path) -> tuple[Path, ModelManifest]:
    """The bundle that a service of this model repository answers with where nobody names a model.

    Raises:
        NoModelUnderTest: There is no bundle.
        ManifestError: A manifest is not one.
    """
    found = [(bundle, read_manifest(bundle)) for bundle in find_bundles(models).values()]
    latest = {
        manifest.name: (bundle, manifest)
        for bundle, manifest in sorted(found, key=lambda each: (each[1].name, each[1].version))
    }
    if not latest:
        raise NoModelUnderTest(f"{models} holds no bundle. Name a model repository with --models.")
    return latest[widest(manifest for _, manifest in latest.values()).name]


def parse_variant(text: str) -> Variant:
    """Read ``NAME:VARIABLE=VALUE,VARIABLE=VALUE``.

    Raises:
        UnknownTarget: It does not have that form.
    """
    name, _, assignments = text.partition(":")
    pairs = [assignment.partition("=") for assignment in assignments.split(",")]
    if not name or not all(variable and equals for variable, equals, _ in pairs):
        raise UnknownTarget(f"{text!r} is no variant; write NAME:VARIABLE=VALUE,VARIABLE=VALUE.")
    return Variant(name, {variable: value for variable, _, value in pairs})


def select(targets: tuple[Target, ...], only: str) -> tuple[Target, ...]:
    """Keep the targets with these keys; all of them where nothing is said.

    Raises:
        UnknownTarget: There is no target of that key.
    """
    keys = {target.key for target in targets}
    wanted = set(only.split(",")) if only else keys
    if wanted - keys:
        raise UnknownTarget(f"No target {sorted(wanted - keys)}; there are {sorted(keys)}.")
    return tuple(target for target in targets if target.key in wanted)


def request(body: BodyMode, image: bytes) -> bytes:
    """The request that every server takes."""
    return raw_request(PATH, image) if body == "raw" else multipart_request(PATH, image)


def ours(
    provider: Provider,
    cores: int,
    before: Path | None = None,
    variants: tuple[Variant, ...] = (),
) -> tuple[Target, ...]:
    """This service, with a raw body and with a form.

    Like the peers it has its best settings: on a CPU a worker for each core.

    Args:
        provider: Where the model runs.
        cores: Of the machine.
        before: Another checkout of this project, measured in the same run.
        variants: The same settings with others, measured with a raw body.
    """
    best = {"PNEUMO_WORKERS": str(cores)} if provider == "cpu" and cores > 1 else {}
    targets = [
        _service(OURS, "Pneumoscope", "ours", "raw", REPOSITORY, best),
        _service(
            f"{OURS}-multipart", "Pneumoscope, multipart", "ours", "multipart", REPOSITORY, best
        ),
    ]
    if before is not None:
        key, title = f"{OURS}-before", "Pneumoscope, before"
        targets.append(_service(key, title, "before", "raw", before, best))
    for variant in variants:
        key, title = f"{OURS}-{variant.name}", f"Pneumoscope, {variant.name}"
        environment = {**best, **variant.environment}
        targets.append(_service(key, title, "variant", "raw", REPOSITORY, environment))
    return tuple(targets)


def _service(
    key: str, title: str, role: Role, body: BodyMode, folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Target:  # fmt: skip
    def start(conditions: Conditions, _: PeerSettings, port: int) -> ServerCommand:
        arguments = (
            sys.executable, "-m", "service", "run", "--host", HOST, "--port", str(port),
            "--models-dir", str(conditions.models), "--provider", conditions.provider,
        )  # fmt: skip
        return ServerCommand(arguments, folder, environment or {})

    settings = (PeerSettings(body=body),)
    return Target(key, title, role, "service", settings, start, environment=environment)
