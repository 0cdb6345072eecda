"""The words of the service: a served model, an image that came, and what is answered.

Every other module may import this one; it imports none of them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.decision import Decision, Evidence, OodResult
from contract.findings import Label
from contract.manifest import LUNG_MASK, ModelManifest, Precision, SegmenterManifest
from contract.quality import Quality
from contract.radiograph import Radiograph

T = TypeVar("T")
Stage = Literal["decode", "queue", "inference"]
STAGES: tuple[Stage, ...] = ("decode", "queue", "inference")
StageTimes = dict[Stage, float]
"""Seconds that went into each stage so far."""
Encoded = Sequence[bytes | memoryview]
"""Image files, or the pieces of one."""
Action = Literal["start", "predict", "feedback", "reload", "load", "unload"]
Record = Callable[[Stage, float, float], None]
"""Hears of a stage that is over: its name, how long it ran, how long ago it ended."""
CPU = "CPUExecutionProvider"
# The names of a graph's outputs; that of the out-of-distribution score is the contract's.
PROBABILITIES, ACTIVATION_MAP, QUALITY = "probabilities", "activation_map", "quality"
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""The sizes that a batch is padded to: each is run once when a model is loaded."""
TURNS = 5
"""Of so many turns the last belongs to routine work, so that it never starves."""
MODEL_LENGTH = OUTCOME_LENGTH = 200
CORRECTION = "correct:"
"""How the outcome of a feedback begins that does not agree."""
NO_PIXELS = np.zeros((0, 0), np.uint8)

Outputs = Mapping[str, NDArray[np.float32]]
"""What a graph gives for a batch, by the names of its outputs; float32 (batch, ...)."""
LungMap = NDArray[np.float32]
"""The probability of lung at each pixel, float32, shape (rows, columns), 0 to 1."""


class Priority(IntEnum):
    """Who goes first: stat images before routine ones, each in the order of their arrival."""

    STAT = 0
    ROUTINE = 1


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """A result, and how many seconds its work waited and ran."""

    value: T
    waited_s: float
    ran_s: float


class Session(Protocol):
    """A loaded graph; any thread may run it."""

    @property
    def provider(self) -> str:
        """The execution provider that the graph really runs on."""
        ...

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        """Run a batch, uint8 (batch, height, width, 1), 0 black to 255 white, for these outputs.

        Raises InferenceFailed, or DeviceLost where the accelerator does not run any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model, ready to run."""

    manifest: ModelManifest
    session: Session
    precision: Precision = "fp32"

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> Outputs:
        """Run a batch for every output; for the activation map only where it is asked for."""
        names = [output.name for output in self.manifest.signature.outputs]
        wanted = [name for name in names if activation_map or name != ACTIVATION_MAP]
        return self.session.run(wanted, images)

    @property
    def digest(self) -> str:
        """That of the file that runs."""
        return self.manifest.digests[self.precision]

    @property
    def batched(self) -> bool:
        """Whether its images wait for the accelerator, which runs them in batches."""
        return self.session.provider != CPU

    @property
    def bundle(self) -> str:
        """Where it lies in the models folder, ``<name>/<version>``."""
        return f"{self.manifest.name}/{self.manifest.version}"


@dataclass(frozen=True, slots=True)
class LungSegmenter:
    """A segmenter, ready to run. It always runs on the CPU, on the thread of the image."""

    manifest: SegmenterManifest
    session: Session

    @property
    def bundle(self) -> str:
        """Where it lies in the models folder, ``<name>/<version>``."""
        return f"{self.manifest.name}/{self.manifest.version}"

    def find(self, image: NDArray[np.uint8]) -> LungMap:
        """Find the lungs in an image of the segmenter's size, uint8 (height, width, 1)."""
        return self.session.run((LUNG_MASK,), image[np.newaxis])[LUNG_MASK][0, ..., 0]


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it came. ``name`` is the client's name for it, None for a raw body.

    A thread joins the pieces in which it arrived: joining 64 MiB on the event loop would hold up
    everybody else.
    """

    name: str | None
    chunks: Encoded

    def data(self) -> bytes:
        """The whole file; of one piece of bytes, the piece itself."""
        return b"".join(self.chunks)

    def sha256(self) -> str:
        """The digest of the whole file, in hexadecimal; takes no memory for joining it."""
        digest = hashlib.sha256()
        for chunk in self.chunks:
            digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Picture:
    """A gray PNG over the radiograph, in base64: a heatmap, or the lungs.

    A heatmap is 0 for no evidence to 255 for full strength of ``label``. ``inside_lungs`` is the
    share of the evidence that lies in the lungs, 0 to 1; None where there is none, or where the
    lungs are not known. Lungs are 0 for no lung and 255 for lung.
    """

    data: str
    width: int
    height: int
    label: Label | None = None
    inside_lungs: float | None = None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What the model says of one file. ``probabilities`` is float32 (classes,), 0 to 1.

    ``image`` is the file's, without its pixels. What the model does not tell is None, and so is
    what nobody asked for.
    """

    name: str | None
    sha256: str
    times: StageTimes
    model: ServedModel
    image: Radiograph
    probabilities: NDArray[np.float32]
    decision: Decision
    quality: Quality | None = None
    out_of_distribution: OodResult | None = None
    evidence: Evidence | None = None
    heatmap: Picture | None = None
    lungs: Picture | None = None


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """A file that cannot be read, or on which the service failed, and why."""

    name: str | None
    sha256: str
    times: StageTimes
    error: Exception


@dataclass(frozen=True, slots=True)
class Prediction:
    """One result for each file of a request, in order; ``total_s`` is by the clock on the wall.

    ``model`` is that of the first file that was answered; where none was, the one asked for.
    """

    model: ServedModel
    results: tuple[ImageResult | ImageFailure, ...]
    total_s: float


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the name of the key or the client of the token, and what it opens.

    ``per_minute`` is how often, where that is not as for all others.
    """

    name: str
    scopes: frozenset[str]
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What was done. ``input`` is the SHA-256 of the file, ``digest`` that of the model.

    ``outcome`` is the decision or the slug of the problem, ``at`` in seconds since 1970.
    """

    action: Action
    caller: str = ""
    peer: str = ""
    request_id: str = ""
    answer_id: str = ""
    input: str = ""
    model: str = ""
    digest: str = ""
    outcome: str = ""
    latency_ms: float = 0.0
    at: float = 0.0
