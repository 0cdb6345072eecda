import asyncio
import gc
import hashlib
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.radiograph import Radiograph, decode
from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.errors import DeviceLost, FileFailed, InferenceFailed, OutOfMemory, UnknownModel
from service.prediction import (
    ImageFailure,
    ImageResult,
    Prediction,
    PredictionOptions,
    Upload,
)
from service.predictor import Predictor
from service.priorities import PriorityThreads
from service.repository import ModelRepository, ServedModel
from service.runtime import open_repository
from service.session import ModelOutput
from service.settings import Settings
from tests.bundles import (
    make_manifest,
    write_bundle,
    write_fragile_bundle,
    write_segmenter_bundle,
)
from tests.synthetic import as_png

NO_OPTIONS = PredictionOptions()


class LostSession:
    provider = "CUDAExecutionProvider"

    def run(
        self,
        images: NDArray[np.uint8],  # noqa: ARG002 - as the protocol has it
        *,
        activation_map: bool = False,  # noqa: ARG002 - as above
    ) -> ModelOutput:
        raise DeviceLost("The accelerator does not answer.")


class HungrySession:
    """Needs more memory than there is for a white image."""

    provider = "CPUExecutionProvider"

    def run(
        self,
        images: NDArray[np.uint8],
        *,
        activation_map: bool = False,  # noqa: ARG002 - as the protocol has it
    ) -> ModelOutput:
        if images.all():
            raise MemoryError
        return ModelOutput(np.array([[1, 0]], np.float32), None)


class FailingSession:
    """Fails on every image, for a reason, and remembers the images without keeping them."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.seen: list[weakref.ref[NDArray[np.uint8]]] = []

    def run(
        self,
        images: NDArray[np.uint8],
        *,
        activation_map: bool = False,  # noqa: ARG002 - as the protocol has it
    ) -> ModelOutput:
        self.seen.append(weakref.ref(images))
        raise InferenceFailed("The model did not run.") from RuntimeError("no kernel")


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


def flat(value: int, name: str | None = None) -> Upload:
    return Upload(name, (as_png(np.full((40, 40), value, np.uint8)),))


def predict(
    predictor: Predictor, *uploads: Upload, options: PredictionOptions = NO_OPTIONS
) -> Prediction:
    return asyncio.run(predictor.predict(uploads, options))


def test_every_file_gets_its_own_result_in_order(
    tmp_path: Path, predictors: list[Predictor]
) -> None:
    write_bundle(tmp_path)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))
    files = [
        flat(255, "white"),
        Upload("text", (b"no image",)),
        flat(0, "black"),
        flat(128, "gray"),
    ]

    prediction = predict(predictor, *files)

    assert [result.name for result in prediction.results] == ["white", "text", "black", "gray"]
    white, text, black, gray = prediction.results
    assert isinstance(text, ImageFailure)
    assert [
        result.decision.label for result in (white, black, gray) if isinstance(result, ImageResult)
    ] == ["pneumonia", "normal", None]


def test_the_times_are_summed_over_the_files(tmp_path: Path, predictors: list[Predictor]) -> None:
    write_bundle(tmp_path)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))

    prediction = predict(predictor, flat(0), flat(255))

    one, other = (result.times for result in prediction.results)
    assert prediction.times.decode_s == one.decode_s + other.decode_s > 0
    assert prediction.times.inference_s == one.inference_s + other.inference_s > 0
    assert prediction.times.queue_s == one.queue_s + other.queue_s > 0
    assert prediction.total_s > 0


def test_a_file_on_which_the_model_fails_does_not_hold_up_the_others(
    tmp_path: Path, predictors: list[Predictor]
) -> None:
    write_fragile_bundle(tmp_path)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))

    white, gray = predict(predictor, flat(255), flat(128)).results

    assert isinstance(white, ImageFailure)
    assert isinstance(white.error, InferenceFailed)
    assert isinstance(gray, ImageResult)


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "CUDAExecutionProvider"])
def test_a_failed_run_keeps_its_reason_and_not_the_image(
    predictors: list[Predictor], provider: str
) -> None:
    session = FailingSession(provider)
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), session)
    predictor = make_predictor(predictors, ModelRepository({"tiny": {1: model}}))

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


def test_a_segmenter_that_fails_says_why(tmp_path: Path, predictors: list[Predictor]) -> None:
    write_bundle(tmp_path)
    write_segmenter_bundle(tmp_path, fails_on=255)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))

    black, white = predict(
        predictor, flat(0), flat(255), options=PredictionOptions(heatmap=True)
    ).results

    assert isinstance(black, ImageResult)
    assert isinstance(white, ImageFailure)
    assert "Gather" in str(white.error.__cause__)


def test_a_lost_device_ends_the_whole_request(predictors: list[Predictor]) -> None:
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), LostSession())
    predictor = make_predictor(predictors, ModelRepository({"tiny": {1: model}}))

    with pytest.raises(DeviceLost):
        predict(predictor, flat(0), flat(1))
    with pytest.raises(DeviceLost):
        asyncio.run(predictor.probe(model))


@pytest.mark.parametrize(
    ("met", "expected"),
    [
        (MemoryError(), OutOfMemory),
        (KeyError("doe^jane"), FileFailed),
        (StopIteration(), FileFailed),
    ],
)
def test_an_unforeseen_error_is_of_its_file_alone_and_the_thread_goes_on(
    tmp_path: Path,
    predictors: list[Predictor],
    monkeypatch: pytest.MonkeyPatch,
    met: Exception,
    expected: type[Exception],
) -> None:
    write_bundle(tmp_path)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))
    bad = flat(77, "bad")

    def fails_on_bad(data: bytes, **limits: Any) -> Radiograph:
        if data == bad.data():
            raise met
        return decode(data, **limits)

    monkeypatch.setattr("service.image_task.decode", fails_on_bad)

    results = predict(predictor, bad, flat(255), bad, flat(0), bad).results
    afterwards = predict(predictor, flat(0)).results

    assert [type(result) for result in results] == [
        ImageFailure,
        ImageResult,
        ImageFailure,
        ImageResult,
        ImageFailure,
    ]
    first = results[0]
    assert isinstance(first, ImageFailure)
    assert type(first.error) is expected
    assert first.sha256 == hashlib.sha256(bad.data()).hexdigest()
    assert first.error.__traceback__ is None
    assert "doe" not in f"{first.error}{vars(first.error)}"
    assert isinstance(afterwards[0], ImageResult)


def test_memory_that_runs_out_while_a_model_runs_is_of_its_file_alone(
    predictors: list[Predictor],
) -> None:
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), HungrySession())
    predictor = make_predictor(predictors, ModelRepository({"tiny": {1: model}}))

    white, black = predict(
        predictor, flat(255), flat(0), options=PredictionOptions(model="tiny")
    ).results

    assert isinstance(white, ImageFailure)
    assert isinstance(white.error, OutOfMemory)
    assert isinstance(black, ImageResult)


@pytest.mark.parametrize(
    "options",
    [
        PredictionOptions(model="nobody"),
        PredictionOptions(version=9),
        PredictionOptions(model="tiny", version=9),
    ],
)
@pytest.mark.parametrize("data", [flat(0), Upload(None, (b"no image",))])
def test_an_unknown_model_is_refused_whatever_the_file_is(
    tmp_path: Path, predictors: list[Predictor], options: PredictionOptions, data: Upload
) -> None:
    write_bundle(tmp_path)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))

    with pytest.raises(UnknownModel):
        predict(predictor, data, options=options)
