"""Sessions for tests that must know when a model runs, or what it says."""

import threading
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.domain import CPU, Outputs
from service.session import CUDA

REAL_SESSION = onnxruntime.InferenceSession


def outputs_of(
    names: Sequence[str], probabilities: NDArray[np.float32], map_size: int = 4
) -> Outputs:
    """The named outputs of a graph that says this of a batch: float32 (batch, classes)."""
    count, classes = probabilities.shape
    arrays = {
        "probabilities": probabilities,
        "logits": -probabilities,
        "activation_map": np.zeros((count, map_size, map_size, classes), np.float32),
    }
    return {name: arrays[name] for name in names}


class GatedSession:
    """A session whose runs end when a gate opens; everything is normal to it."""

    provider = "CPUExecutionProvider"

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        self._gate.wait()
        return outputs_of(outputs, np.tile(np.array([1, 0], np.float32), (len(images), 1)))


class PretendsToBeCuda:
    """A real CPU session that says it runs on CUDA, and remembers what it was asked for."""

    asked: list[object]

    def __init__(self, model: bytes, tuning: object, providers: list[object], **_: object) -> None:
        self._session = REAL_SESSION(model, tuning, [CPU])
        type(self).asked = providers

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)
