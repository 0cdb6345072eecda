import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.domain import CPU, ImageFailure, ImageResult, Outputs, ServedModel, Upload
from service.errors import DeviceLost, FileFailed, InferenceFailed, ProblemType
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.repository import ModelRepository
from service.schemas import PredictQuery
from tests.bundles import SIZE, make_manifest
from tests.gated_session import outputs_of
from tests.synthetic import as_png

FAILING, HELD, SILENT = 13, 14, 15
ROUTINE, STAT = PredictQuery(), PredictQuery(priority="stat")
PROVIDERS = pytest.mark.parametrize("provider", [CPU, "CUDAExecutionProvider"])


@dataclass
class FailingSession:
    """Fails on every image, for a reason, and remembers the images without keeping them."""

    error: Exception
    provider: str = CPU
    seen: list[weakref.ref[NDArray[np.uint8]]] = field(default_factory=list)

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:  # noqa: ARG002
        self.seen.append(weakref.ref(images))
        raise self.error from RuntimeError("no kernel")


@dataclass
class RecordingSession:
    """Remembers how bright each image is; fails, waits, or gives no number on one brightness."""

    provider = CPU
    seen: list[int] = field(default_factory=list)
    waits: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        gray = int(images[0, 0, 0, 0])
        self.seen.append(gray)
        if gray == HELD:
            self.waits.set()
            self.let_go.wait()
        if gray == FAILING:
            raise InferenceFailed
        said = np.full((len(images), 2), np.nan if gray == SILENT else 0, np.float32)
        return outputs_of(outputs, said)


Make = Callable[[FailingSession | RecordingSession], tuple[Predictor, ServedModel]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes predictors of one thread, with the model that a session runs."""
    made: list[Predictor] = []

    def predictor(session: FailingSession | RecordingSession) -> tuple[Predictor, ServedModel]:
        model = ServedModel(make_manifest("sha256:" + 64 * "0"), session)
        threads, decoders = PriorityThreads(1), Decoders(1, 10**9, 10_000)
        repository = ModelRepository([model])
        made.append(Predictor(repository, threads, decoders, MicroBatcher(), 10_000, 10**9))
        return made[-1], model

    yield predictor
    for each in made:
        asyncio.run(each.close())


def predict(make: Make, session: FailingSession, *grays: int) -> ImageFailure:
    """What becomes of the first of some flat images."""
    files = [Upload(None, (as_png(np.full((40, 40), gray, np.uint8)),)) for gray in grays]
    (first, *_) = asyncio.run(make(session)[0].predict(files, ROUTINE)).results
    assert isinstance(first, ImageFailure)
    return first


def arrays(*grays: int) -> NDArray[np.uint8]:
    return np.stack([np.full((SIZE, SIZE, 1), gray, np.uint8) for gray in grays])


@PROVIDERS
def test_a_failed_run_keeps_its_reason_and_not_the_image(make: Make, provider: str) -> None:
    session = FailingSession(InferenceFailed(), provider)

    gc.collect()
    gc.disable()
    try:
        failed = predict(make, session, 0)
        kept = [image() for image in session.seen if image() is not None]
    finally:
        gc.enable()

    assert str(failed.error.__cause__) == "no kernel"
    assert kept == []


def test_no_number_is_no_answer_for_its_file_alone(make: Make) -> None:
    files = [Upload(None, (as_png(np.full((40, 40), g, np.uint8)),)) for g in (SILENT, 100)]
    predictor, model = make(RecordingSession())
    silent, good = asyncio.run(predictor.predict(files, ROUTINE)).results

    with pytest.raises(InferenceFailed):
        asyncio.run(predictor.infer(model, arrays(SILENT), ROUTINE))
    assert isinstance(silent, ImageFailure)
    assert isinstance(silent.error, InferenceFailed)
    assert isinstance(good, ImageResult)


@PROVIDERS
def test_a_lost_device_ends_the_whole_request(make: Make, provider: str) -> None:
    with pytest.raises(DeviceLost):
        predict(make, FailingSession(DeviceLost(), provider), 0, 1)


def test_memory_that_runs_out_while_a_model_runs_is_of_its_file_alone(make: Make) -> None:
    failed = predict(make, FailingSession(MemoryError()), 255)

    assert isinstance(failed.error, FileFailed)
    assert failed.error.problem is ProblemType.OUT_OF_MEMORY


def test_urgent_images_go_ahead_of_a_batch_that_waits(make: Make) -> None:
    session = RecordingSession()
    predictor, model = make(session)

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


def test_when_one_image_fails_the_others_of_its_request_are_dropped(make: Make) -> None:
    session = RecordingSession()
    predictor, model = make(session)

    async def failing() -> None:
        with pytest.raises(InferenceFailed):
            await predictor.infer(model, arrays(FAILING, HELD, 1, 2), ROUTINE)
        await asyncio.sleep(0)
        session.let_go.set()
        await predictor.close()

    asyncio.run(failing())

    assert session.seen in ([FAILING], [FAILING, HELD])
