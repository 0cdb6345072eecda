"""One model on several accelerators: each batch goes to the one that has the least to do."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from service.errors import DeviceLost
from service.session import InferenceSession, ModelOutput


class ReplicatedSession:
    """Sessions of the same model that share its batches out.

    Where one has lost its device, the next run is sent there, and shows whether the device is back.
    To go around it would hide the loss: a CUDA context that failed mostly needs another process.
    """

    def __init__(self, replicas: Sequence[InferenceSession]) -> None:
        """Take the sessions, at least one, all on the same execution provider."""
        self.replicas = tuple(replicas)
        self._in_flight = [0] * len(self.replicas)
        self._lost = [False] * len(self.replicas)
        self._lock = threading.Lock()

    @property
    def provider(self) -> str:
        """The execution provider that the model really runs on."""
        return self.replicas[0].provider

    @property
    def in_flight(self) -> tuple[int, ...]:
        """How many batches each replica runs now."""
        with self._lock:
            return tuple(self._in_flight)

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        """Run a batch, uint8 (batch, height, width, 1), 0 black to 255 white.

        Raises:
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator that it was sent to does not run any more.
        """
        with self._least_loaded() as number:
            try:
                output = self.replicas[number].run(images, activation_map=activation_map)
            except DeviceLost:
                self._lost[number] = True
                raise
            self._lost[number] = False
            return output

    @contextmanager
    def _least_loaded(self) -> Iterator[int]:
        """The number of the replica to run on; of several alike, the first."""
        with self._lock:
            number = min(range(len(self.replicas)), key=self._order)
            self._in_flight[number] += 1
        try:
            yield number
        finally:
            with self._lock:
                self._in_flight[number] -= 1

    def _order(self, number: int) -> tuple[bool, int]:
        return (not self._lost[number], self._in_flight[number])


def replicas_of(session: InferenceSession) -> tuple[InferenceSession, ...]:
    """The sessions that a model runs in: one for each device, each to be checked and warmed."""
    return session.replicas if isinstance(session, ReplicatedSession) else (session,)
