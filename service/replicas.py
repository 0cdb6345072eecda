"""Models on several accelerators: each batch goes to the one that has the least to do."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from service.errors import DeviceLost
from service.session import InferenceSession, ModelOutput


class Devices:
    """What each accelerator of this process has to do, for all models together.

    One that was lost gets the next run, of whichever model, which shows whether it is back. To go
    around it would hide the loss: a CUDA context that failed mostly needs another process. Of
    several alike, the one that has rested longest is next, so that a probe meets each in its turn.
    """

    def __init__(self, number: int) -> None:
        """Take so many accelerators as idle and working."""
        self._in_flight = [0] * number
        self._lost = [False] * number
        self._last_run = [0] * number
        self._runs = count(1)
        self._lock = threading.Lock()

    @property
    def in_flight(self) -> tuple[int, ...]:
        """How many batches each runs now."""
        with self._lock:
            return tuple(self._in_flight)

    @contextmanager
    def next_to_run(self) -> Iterator[int]:
        """The number of the accelerator to run on; DeviceLost out of the block is remembered."""
        with self._lock:
            number = min(range(len(self._in_flight)), key=self._order)
            self._in_flight[number] += 1
            self._last_run[number] = next(self._runs)
        try:
            yield number
        except DeviceLost:
            self._lost[number] = True
            raise
        else:
            self._lost[number] = False
        finally:
            with self._lock:
                self._in_flight[number] -= 1

    def _order(self, number: int) -> tuple[bool, int, int]:
        return not self._lost[number], self._in_flight[number], self._last_run[number]


@cache
def devices_of(identifiers: tuple[int, ...]) -> Devices:
    """The same object for the same accelerators, since a process has them once."""
    return Devices(len(identifiers))


class ReplicatedSession:
    """Sessions of the same model, one on each accelerator, that share its batches out."""

    def __init__(self, replicas: Sequence[InferenceSession], devices: Devices) -> None:
        """Take the sessions, all on the same execution provider, in the order of the devices."""
        self.replicas = tuple(replicas)
        self._devices = devices

    @property
    def provider(self) -> str:
        """The execution provider that the model really runs on."""
        return self.replicas[0].provider

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        """Run a batch, uint8 (batch, height, width, 1), 0 black to 255 white.

        Raises:
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator that it was sent to does not run any more.
        """
        with self._devices.next_to_run() as number:
            return self.replicas[number].run(images, activation_map=activation_map)


def replicas_of(session: InferenceSession) -> tuple[InferenceSession, ...]:
    """The sessions that a model runs in: one for each device, each to be checked and warmed."""
    return session.replicas if isinstance(session, ReplicatedSession) else (session,)
