import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.domain import CPU, ImageFailure, ImageResult, Upload
from service.errors import InferenceFailed
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.repository import ModelRepository
from service.schemas import PredictQuery
from tests.bundles import SIZE
from tests.sessions import FakeSession, normal, running, served
from tests.synthetic import as_png

HELD = 14
ROUTINE, STAT = PredictQuery(), PredictQuery(priority="stat")
Make = Callable[[FakeSession], Predictor]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes predictors of one thread, with the model that a session runs."""
    made: list[Predictor] = []

    def predictor(session: FakeSession) -> Predictor:
        threads, decoders = PriorityThreads(1), Decoders(1, 10**9, 10_000)
        batcher, repository = MicroBatcher(lambda *_: None), ModelRepository([served(session)])
        made.append(Predictor(repository, threads, decoders, batcher, 10_000, 10**9))
        return made[-1]

    yield predictor
    for each in made:
        asyncio.run(each.close())


def predict(predictor: Predictor, *grays: int) -> tuple[ImageResult | ImageFailure, ...]:
    """What becomes of some flat images."""
    files = [Upload(None, (as_png(np.full((40, 40), gray, np.uint8)),)) for gray in grays]
    return asyncio.run(predictor.predict(files, ROUTINE)).results


async def infer(predictor: Predictor, *grays: int, query: PredictQuery = ROUTINE) -> None:
    images = np.stack([np.full((SIZE, SIZE, 1), gray, np.uint8) for gray in grays])
    await predictor.infer(predictor.repository.get(), images, query)


@pytest.mark.parametrize("provider", [CPU, "CUDAExecutionProvider"])
def test_a_failed_run_keeps_its_reason_and_not_the_image(make: Make, provider: str) -> None:
    seen: list[weakref.ref[NDArray[np.uint8]]] = []

    def fail(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(weakref.ref(images))
        raise InferenceFailed from RuntimeError("no kernel")

    gc.collect()
    gc.disable()
    try:
        (failed,) = predict(make(running(fail, provider)), 0)
        kept = [image() for image in seen if image() is not None]
    finally:
        gc.enable()

    assert isinstance(failed, ImageFailure)
    assert str(failed.error.__cause__) == "no kernel"
    assert kept == []


def test_no_number_is_no_answer_for_its_file_alone(make: Make) -> None:
    predictor = make(running(lambda images: normal(images) * (1 if images.any() else np.nan)))
    silent, good = predict(predictor, 0, 100)

    with pytest.raises(InferenceFailed):
        asyncio.run(infer(predictor, 0))
    assert isinstance(silent, ImageFailure)
    assert isinstance(silent.error, InferenceFailed)
    assert isinstance(good, ImageResult)


def test_urgent_images_go_ahead_of_a_batch_that_waits(make: Make) -> None:
    session = FakeSession()
    predictor = make(session)

    async def both() -> None:
        routine = asyncio.create_task(infer(predictor, HELD, 1, 2))
        await asyncio.to_thread(session.begun.wait)
        urgent = asyncio.create_task(infer(predictor, 3, query=STAT))
        # A few turns of the loop, until the image is in the queue.
        await asyncio.sleep(0.01)
        session.go.set()
        await asyncio.gather(routine, urgent)

    asyncio.run(both())

    assert session.batches == [[HELD], [3], [1], [2]]


def test_when_one_image_fails_the_others_of_its_request_are_dropped(make: Make) -> None:
    let_go = threading.Event()

    def fail_or_wait(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if images.max() == HELD:
            let_go.wait()
            return normal(images)
        raise InferenceFailed

    session = running(fail_or_wait)
    predictor = make(session)

    async def fails() -> None:
        with pytest.raises(InferenceFailed):
            await infer(predictor, 13, HELD, 1, 2)
        await asyncio.sleep(0)
        let_go.set()
        await predictor.close()

    asyncio.run(fails())

    assert session.batches in ([[13]], [[13], [HELD]])
