"""What goes between the service and its engines: what to do with a file, and what came of it."""

import io
import pickle
import struct
from dataclasses import replace
from typing import Any, NamedTuple, Self, cast

import numpy as np

from contract.decision import Decision, Familiarity
from contract.quality import Check, Quality
from service.errors import ServiceError
from service.heatmap import Heatmap
from service.lungs import LungPicture
from service.prediction import Answer, PredictionOptions, Rejection, StageTimes
from service.reading import Pending
from service.repository import ModelRepository, ServedModel

ORDER = struct.Struct("<IQ")
"""The head of a message to an engine: which mailbox has the file, of how many bytes. The order
follows."""
RESULT = struct.Struct("<IQd")
"""The head of a message from an engine: which mailbox is done with, how many bytes of a result it
has, and how many seconds that took. A small result follows, and leaves the mailbox empty."""
LONGEST_MESSAGE = 32 * 1024
READY = b"ready"

Outcome = Answer | Rejection | Pending
Result = Outcome | ServiceError


class Order(NamedTuple):
    """What to do with one file. ``model`` is a name and a version; None chooses by the file."""

    model: tuple[str, int] | None
    version: int | None
    frame: int
    heatmap: bool

    @classmethod
    def of(cls, model: ServedModel | None, options: PredictionOptions) -> Self:
        """What a request asks for."""
        key = None if model is None else _key(model)
        return cls(key, options.version, options.frame, options.heatmap)

    def pack(self) -> bytes:
        """Write it for an engine."""
        return pickle.dumps(tuple(self), pickle.HIGHEST_PROTOCOL)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what the service has written; nobody else has this end of the channel."""
        return cls._make(pickle.loads(data))  # noqa: S301

    def options(self) -> PredictionOptions:
        """The part of a request's options that an engine is told."""
        return PredictionOptions(version=self.version, frame=self.frame, heatmap=self.heatmap)


def pack(result: Result) -> bytes:
    """Write what came of a file, for a process that serves the same models.

    An answer goes as plain tuples: to pickle its objects, and to make them again, would take longer
    than to make them in the first place.
    """
    if isinstance(result, Answer):
        return pickle.dumps(_Plain.of(result), pickle.HIGHEST_PROTOCOL)
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(result)
    return file.getvalue()


def unpack(data: bytes, name: str | None, repository: ModelRepository) -> Result:
    """Read what an engine has written; it is nobody else's, so what it says is done.

    Args:
        data: What was written.
        name: The client's name for the file, which no engine needs to know.
        repository: The models that it serves.
    """
    result = _Unpickler(data, repository).load()
    if isinstance(result, _Plain):
        return result.answer(name, repository)
    return replace(result, name=name) if isinstance(result, Rejection) else cast("Result", result)


class _Plain(NamedTuple):
    """An answer, without classes."""

    sha256: str
    times: tuple[float, float, float]
    model: tuple[str, int]
    probabilities: bytes
    decision: tuple[Any, ...]
    quality: tuple[tuple[Any, ...], ...] | None
    familiarity: tuple[float, float] | None
    heatmap: Heatmap | None
    lungs: LungPicture | None

    @classmethod
    def of(cls, answer: Answer) -> Self:
        times, decision, quality = answer.times, answer.decision, answer.quality
        known = answer.familiarity
        return cls(
            answer.sha256,
            (times.decode_s, times.queue_s, times.inference_s),
            _key(answer.model),
            answer.probabilities.tobytes(),
            (decision.present, decision.label, decision.reasons),
            None
            if quality is None
            else tuple((c.name, c.value, c.lower, c.upper, c.advice) for c in quality.checks),
            None if known is None else (known.score, known.limit),
            answer.heatmap,
            answer.lungs,
        )

    def answer(self, name: str | None, repository: ModelRepository) -> Answer:
        present, label, reasons = self.decision
        return Answer(
            name,
            self.sha256,
            StageTimes(*self.times),
            repository.get(*self.model),
            np.frombuffer(self.probabilities, np.float32),
            Decision.model_construct(present=present, label=label, reasons=reasons),
            None if self.quality is None else Quality(tuple(Check(*c) for c in self.quality)),
            None
            if self.familiarity is None
            else Familiarity.model_construct(score=self.familiarity[0], limit=self.familiarity[1]),
            self.heatmap,
            self.lungs,
        )


class _Pickler(pickle.Pickler):
    """Names a model, which every process has loaded for itself."""

    def persistent_id(self, obj: object) -> object:
        return _key(obj) if isinstance(obj, ServedModel) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, repository: ModelRepository) -> None:
        super().__init__(io.BytesIO(data))
        self._repository = repository

    def persistent_load(self, pid: Any) -> ServedModel:  # noqa: ANN401 - as the base has it
        return self._repository.get(*pid)


def _key(model: ServedModel) -> tuple[str, int]:
    return model.manifest.name, model.manifest.version
