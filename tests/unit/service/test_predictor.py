import asyncio
import gc
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.domain import (
    ImageFailure,
    Outputs,
    Prediction,
    ServedModel,
    Upload,
)
from service.errors import DeviceLost, FileFailed, InferenceFailed, ProblemType
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.repository import ModelRepository
from service.schemas import PredictQuery
from tests.bundles import make_manifest
from tests.synthetic import as_png


class FailingSession:
    """Fails on every image, for a reason, and remembers the images without keeping them."""

    def __init__(self, provider: str, error: Exception) -> None:
        self.provider = provider
        self.seen: list[weakref.ref[NDArray[np.uint8]]] = []
        self._error = error

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:  # noqa: ARG002
        self.seen.append(weakref.ref(images))
        raise self._error from RuntimeError("no kernel")


@pytest.fixture
def predictors() -> Iterator[list[Predictor]]:
    made: list[Predictor] = []
    yield made
    for predictor in made:
        asyncio.run(predictor.close())


def make_predictor(predictors: list[Predictor], repository: ModelRepository) -> Predictor:
    predictors.append(
        Predictor(
            repository, PriorityThreads(2), Decoders(1, 10**9, 10_000), MicroBatcher(), 10_000
        )
    )
    return predictors[-1]


def flat(value: int) -> Upload:
    return Upload(None, (as_png(np.full((40, 40), value, np.uint8)),))


def predict(predictor: Predictor, *uploads: Upload) -> Prediction:
    return asyncio.run(predictor.predict(uploads, PredictQuery()))


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "CUDAExecutionProvider"])
def test_a_failed_run_keeps_its_reason_and_not_the_image(
    predictors: list[Predictor], provider: str
) -> None:
    session = FailingSession(provider, InferenceFailed())
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), session)
    predictor = make_predictor(predictors, ModelRepository([model]))

    gc.collect()
    gc.disable()
    try:
        (failed,) = predict(predictor, flat(0)).results
        kept = [image() for image in session.seen if image() is not None]
    finally:
        gc.enable()

    assert isinstance(failed, ImageFailure)
    assert str(failed.error.__cause__) == "no kernel"
    assert kept == []


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "CUDAExecutionProvider"])
def test_a_lost_device_ends_the_whole_request(predictors: list[Predictor], provider: str) -> None:
    session = FailingSession(provider, DeviceLost())
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), session)
    predictor = make_predictor(predictors, ModelRepository([model]))

    with pytest.raises(DeviceLost):
        predict(predictor, flat(0), flat(1))


def test_memory_that_runs_out_while_a_model_runs_is_of_its_file_alone(
    predictors: list[Predictor],
) -> None:
    session = FailingSession("CPUExecutionProvider", MemoryError())
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), session)
    predictor = make_predictor(predictors, ModelRepository([model]))

    (failed,) = predict(predictor, flat(255)).results

    assert isinstance(failed, ImageFailure)
    assert isinstance(failed.error, FileFailed)
    assert failed.error.problem is ProblemType.OUT_OF_MEMORY
