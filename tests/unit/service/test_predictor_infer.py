import asyncio
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.domain import Outputs, ServedModel
from service.errors import InferenceFailed
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.repository import ModelRepository
from service.schemas import PredictQuery
from tests.bundles import SIZE, make_manifest
from tests.gated_session import outputs_of

FAILING, HELD = 13, 14
ROUTINE, STAT = PredictQuery(), PredictQuery(priority="stat")


class RecordingSession:
    """Remembers how bright each image is; fails on one brightness, and waits on another."""

    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.waits, self.let_go = threading.Event(), threading.Event()

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        gray = int(images[0, 0, 0, 0])
        self.seen.append(gray)
        if gray == HELD:
            self.waits.set()
            self.let_go.wait()
        if gray == FAILING:
            raise InferenceFailed
        return outputs_of(outputs, np.zeros((len(images), 2), np.float32))


@pytest.fixture
def session() -> RecordingSession:
    return RecordingSession()


@pytest.fixture
def model(session: RecordingSession) -> ServedModel:
    return ServedModel(make_manifest("sha256:" + 64 * "0"), session)


@pytest.fixture
def predictor(model: ServedModel) -> Iterator[Predictor]:
    repository = ModelRepository([model])
    made = Predictor(
        repository, PriorityThreads(1), Decoders(1, 10**9, 10_000), MicroBatcher(), 10_000
    )
    yield made
    asyncio.run(made.close())


def arrays(*grays: int) -> NDArray[np.uint8]:
    return np.stack([np.full((SIZE, SIZE, 1), gray, np.uint8) for gray in grays])


def test_urgent_images_go_ahead_of_a_batch_that_waits(
    predictor: Predictor, model: ServedModel, session: RecordingSession
) -> None:
    async def both() -> None:
        routine = asyncio.create_task(predictor.infer(model, arrays(HELD, 1, 2), ROUTINE))
        await asyncio.to_thread(session.waits.wait)
        urgent = asyncio.create_task(predictor.infer(model, arrays(3), STAT))
        # A few turns of the loop, until the image is in the queue.
        await asyncio.sleep(0.01)
        session.let_go.set()
        await asyncio.gather(routine, urgent)

    asyncio.run(both())

    assert session.seen == [HELD, 3, 1, 2]


def test_when_one_image_fails_the_others_of_its_request_are_dropped(
    predictor: Predictor, model: ServedModel, session: RecordingSession
) -> None:
    async def failing() -> None:
        with pytest.raises(InferenceFailed):
            await predictor.infer(model, arrays(FAILING, HELD, 1, 2), ROUTINE)
        await asyncio.sleep(0)
        session.let_go.set()
        await predictor.close()

    asyncio.run(failing())

    assert session.seen in ([FAILING], [FAILING, HELD])
