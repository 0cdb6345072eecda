import asyncio
import gc
import hashlib
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batch_plan import BatchPlan
from service.batching import DynamicBatcher
from service.errors import DeviceLost, FileFailed, InferenceFailed, OutOfMemory, UnknownModel
from service.executors import PriorityExecutor
from service.prediction import Answer, Prediction, PredictionOptions, Rejection, Upload
from service.predictor import Predictor
from service.priorities import Priority
from service.reading import Fitted, Reader, Reading, Unreadable
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
from tests.integration.live import eventually
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

    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
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
        predictor.close()


def make_predictor(predictors: list[Predictor], repository: ModelRepository) -> Predictor:
    predictors.append(
        Predictor(repository, PriorityExecutor("decode", 2), DynamicBatcher(1), 10_000)
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
    assert isinstance(text, Rejection)
    assert [
        result.decision.label for result in (white, black, gray) if isinstance(result, Answer)
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

    assert isinstance(white, Rejection)
    assert isinstance(white.error, InferenceFailed)
    assert isinstance(gray, Answer)


@pytest.mark.parametrize("plan", [BatchPlan(), BatchPlan((1, 2), max_delay_s=0.001)])
def test_a_failed_run_keeps_its_reason_and_not_the_image(
    predictors: list[Predictor], plan: BatchPlan
) -> None:
    session = FailingSession()
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), session, plan)
    predictor = make_predictor(predictors, ModelRepository({"tiny": {1: model}}))

    gc.collect()
    gc.disable()
    try:
        (failed,) = predict(predictor, flat(0)).results
        predictor.close()
        kept = [image() for image in session.seen if image() is not None]
    finally:
        gc.enable()

    assert isinstance(failed, Rejection)
    assert str(failed.error.__cause__) == "no kernel"
    assert kept == []


def test_a_segmenter_that_fails_says_why(tmp_path: Path, predictors: list[Predictor]) -> None:
    write_bundle(tmp_path)
    write_segmenter_bundle(tmp_path, fails_on=255)
    predictor = make_predictor(predictors, open_repository(Settings(models_dir=tmp_path)))

    black, white = predict(
        predictor, flat(0), flat(255), options=PredictionOptions(heatmap=True)
    ).results

    assert isinstance(black, Answer)
    assert isinstance(white, Rejection)
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
    read = Reader.read

    def fails_on_bad(
        self: Reader, upload: Upload, model: ServedModel | None, options: PredictionOptions
    ) -> Fitted | Unreadable:
        if upload.name == "bad":
            raise met
        return read(self, upload, model, options)

    monkeypatch.setattr(Reader, "read", fails_on_bad)
    bad = flat(0, "bad")

    results = predict(predictor, bad, flat(255), bad, flat(0), bad).results
    afterwards = predict(predictor, flat(0)).results

    assert [type(result) for result in results] == [Rejection, Answer, Rejection, Answer, Rejection]
    first = results[0]
    assert isinstance(first, Rejection)
    assert type(first.error) is expected
    assert first.sha256 == hashlib.sha256(bad.data()).hexdigest()
    assert first.error.__traceback__ is None
    assert "doe" not in f"{first.error}{vars(first.error)}"
    assert isinstance(afterwards[0], Answer)


def test_memory_that_runs_out_while_a_model_runs_is_of_its_file_alone(
    predictors: list[Predictor],
) -> None:
    model = ServedModel(make_manifest("sha256:" + 64 * "0"), HungrySession())
    predictor = make_predictor(predictors, ModelRepository({"tiny": {1: model}}))

    white, black = predict(
        predictor, flat(255), flat(0), options=PredictionOptions(model="tiny")
    ).results

    assert isinstance(white, Rejection)
    assert isinstance(white.error, OutOfMemory)
    assert isinstance(black, Answer)


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


@pytest.mark.parametrize(
    ("limit", "in_step"),
    [
        (None, True),
        ("service.predictor.SMALL_FILE_BYTES", False),
        ("service.answering.MOST_PIXEL_BYTES", False),
    ],
)
def test_only_small_files_of_small_images_are_read_in_step(
    tmp_path: Path,
    predictors: list[Predictor],
    monkeypatch: pytest.MonkeyPatch,
    limit: str | None,
    in_step: bool,  # noqa: FBT001 - a parameter
) -> None:
    write_bundle(tmp_path)
    if limit is not None:
        monkeypatch.setattr(limit, 10)
    # What the machine at hand finds out about batches must not decide.
    model = replace(open_repository(Settings(models_dir=tmp_path)).get(), plan=BatchPlan())
    repository = ModelRepository({"tiny": {1: model}})
    executor = PriorityExecutor("decode", 1)
    predictors.append(predictor := Predictor(repository, executor, DynamicBatcher(1), 10_000))
    stages: list[str] = []
    read, assess = Reader.read, Reader.assess

    def noted_read(
        self: Reader, upload: Upload, model: ServedModel | None, options: PredictionOptions
    ) -> Fitted | Unreadable:
        stages.append("read")
        return read(self, upload, model, options)

    def noted_assess(self: Reader, fitted: Fitted, *, lungs_drawn: bool) -> Reading | Unreadable:
        stages.append("assess")
        return assess(self, fitted, lungs_drawn=lungs_drawn)

    monkeypatch.setattr(Reader, "read", noted_read)
    monkeypatch.setattr(Reader, "assess", noted_assess)

    async def both() -> Prediction:
        door = threading.Event()
        held = executor.run(Priority.STAT, door.wait)
        files = (flat(0), flat(255))
        waiting = asyncio.ensure_future(predictor.predict(files, PredictionOptions(model="tiny")))
        await asyncio.to_thread(eventually, lambda: executor.depth == len(files))
        door.set()
        await held
        return await waiting

    assert [type(result) for result in asyncio.run(both()).results] == [Answer, Answer]
    assert stages == (["read"] * 2 + ["assess"] * 2 if in_step else ["read", "assess"] * 2)
