"""A session for tests that must know when a model runs."""

import threading

import numpy as np
from numpy.typing import NDArray

from service.session import ModelOutput


class GatedSession:
    """A session whose runs end when a gate opens; everything is normal to it."""

    provider = "CPUExecutionProvider"

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        self._gate.wait()
        maps = np.zeros((len(images), 4, 4, 2), np.float32) if activation_map else None
        said = np.tile(np.array([1, 0], np.float32), (len(images), 1))
        return ModelOutput(said, maps, logits=said)
