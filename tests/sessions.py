"""Sessions for tests that must know when a model runs, or what it says."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.domain import CPU, Outputs, ServedModel
from service.session import CUDA
from tests.bundles import LABELS, MAP_SIZE, make_manifest

REAL_SESSION = onnxruntime.InferenceSession


def normal(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Everything is normal."""
    return np.tile(np.array([1, 0], np.float32), (len(images), 1))


@dataclass
class FakeSession:
    """Gives what ``says`` makes of a batch, float32 (batch, classes), or raises what it raises.

    A run sets ``begun``, and ends when ``go`` is set. ``batches`` has the brightness of each image
    of each run, by its first pixel, and so has the activation map; ``shapes`` has their shapes.
    """

    says: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = normal
    provider: str = CPU
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    batches: list[list[int]] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        gray = images[:, :1, :1, :1]
        self.batches.append(gray.ravel().tolist())
        self.shapes.append(images.shape)
        self.begun.set()
        assert self.go.wait(60)
        said = self.says(images)
        arrays = {
            "probabilities": said,
            "logits": -said,
            "activation_map": np.tile(gray, (1, MAP_SIZE, MAP_SIZE, len(LABELS))).astype(
                np.float32
            ),
        }
        return {name: arrays[name] for name in outputs}


def running(
    says: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = normal, provider: str = CPU
) -> FakeSession:
    """A session whose runs end at once."""
    session = FakeSession(says, provider)
    session.go.set()
    return session


def served(session: FakeSession, name: str = "tiny", version: int = 1) -> ServedModel:
    """A model that a session runs."""
    return ServedModel(make_manifest("sha256:" + 64 * "0", name, version), session)


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
