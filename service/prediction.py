"""What a prediction is asked for with, and what it answers."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.decision import Decision, Evidence, OodResult
from contract.quality import Quality
from contract.radiograph import Radiograph
from service.heatmap import Heatmap, LungPicture
from service.priorities import Priority
from service.session import ServedModel
from service.tracing import NO_TRACE, RequestTrace


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it came. ``name`` is the client's name for it, None for a raw body.

    The bytes stay in the pieces in which they arrived until a thread joins them: joining 64 MiB on
    the event loop would hold up everybody else.
    """

    name: str | None
    chunks: tuple[bytes, ...]

    def data(self) -> bytes:
        """The whole file."""
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    def sha256(self) -> str:
        """The digest of the whole file, in hexadecimal; takes no memory for joining it."""
        digest = hashlib.sha256()
        for chunk in self.chunks:
            digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class PredictionOptions:
    """What a request asks for, beside the images. ``frame`` counts from 1.

    ``trace`` is where the stages of the request are recorded.
    """

    model: str | None = None
    version: int | None = None
    heatmap: bool = False
    frame: int = 1
    priority: Priority = Priority.ROUTINE
    trace: RequestTrace = NO_TRACE


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds that went into each stage."""

    decode_s: float = 0.0
    queue_s: float = 0.0
    inference_s: float = 0.0

    def __add__(self, other: "StageTimes") -> "StageTimes":
        return StageTimes(
            self.decode_s + other.decode_s,
            self.queue_s + other.queue_s,
            self.inference_s + other.inference_s,
        )


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What the model says of one file. ``probabilities`` is float32 (classes,), 0 to 1.

    ``image`` is the file's, without its pixels. ``quality`` and ``out_of_distribution`` are None
    where the model has no limits for them, ``evidence`` where it does not tell its sources apart,
    ``heatmap`` and ``lungs`` where nobody asked for them; ``lungs`` also where there is no
    segmenter.
    """

    name: str | None
    sha256: str
    times: StageTimes
    model: ServedModel
    image: Radiograph
    probabilities: NDArray[np.float32]
    decision: Decision
    quality: Quality | None
    out_of_distribution: OodResult | None
    heatmap: Heatmap | None
    lungs: LungPicture | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """A file that cannot be read, or on which the service failed, and why."""

    name: str | None
    sha256: str
    times: StageTimes
    error: Exception


@dataclass(frozen=True, slots=True)
class Prediction:
    """One result for each file of a request, in order.

    ``model`` is that of the first file that was answered; where none was, the one that was asked
    for. ``times`` is summed over the files; ``total_s`` is by the clock on the wall.
    """

    model: ServedModel
    results: tuple[ImageResult | ImageFailure, ...]
    times: StageTimes
    total_s: float
