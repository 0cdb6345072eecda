import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import NotAnImage
from service.batcher import MicroBatcher
from service.decoders import Decoders
from service.errors import FileFailed, InferenceFailed
from service.inference_protocol.inference import run_inference
from service.inference_protocol.requests import Encoded, InferenceRequest, RequestedOutput
from service.prediction import StageTimes
from service.predictor import Predictor
from service.priorities import Priority, PriorityThreads
from service.repository import ModelRepository
from service.session import ModelOutput, ServedModel
from tests.bundles import SIZE, make_manifest
from tests.synthetic import as_png

FAILING, HELD = 13, 14


class RecordingSession:
    """Says how bright each image is; fails on one brightness, and waits on another."""

    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.waits, self.let_go = threading.Event(), threading.Event()

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        gray = int(images[0, 0, 0, 0])
        self.seen.append(gray)
        if gray == HELD:
            self.waits.set()
            self.let_go.wait()
        if gray == FAILING:
            raise InferenceFailed("The model did not run.")
        said = np.full((len(images), 2), gray, np.float32)
        maps = np.zeros((len(images), 4, 4, 2), np.float32)
        return ModelOutput(said, maps if activation_map else None, said[:, 0], -said, 2 * said)


@pytest.fixture
def session() -> RecordingSession:
    return RecordingSession()


@pytest.fixture
def model(session: RecordingSession) -> ServedModel:
    return ServedModel(make_manifest("sha256:" + 64 * "0"), session)


@pytest.fixture
def predictor(model: ServedModel) -> Iterator[Predictor]:
    repository = ModelRepository({"tiny": {1: model}})
    made = Predictor(
        repository, PriorityThreads(1), Decoders(1, 10**9, 10_000), MicroBatcher(), 10_000
    )
    yield made
    asyncio.run(made.close())


def arrays(*grays: int) -> NDArray[np.uint8]:
    return np.stack([np.full((SIZE, SIZE, 1), gray, np.uint8) for gray in grays])


def file(gray: int) -> bytes:
    return as_png(np.full((40, 40), gray, np.uint8))


def request(
    images: NDArray[np.uint8] | Encoded,
    priority: Priority = Priority.ROUTINE,
    names: tuple[str, ...] = ("logits",),
) -> InferenceRequest:
    outputs = tuple(RequestedOutput(name, binary=True) for name in names)
    return InferenceRequest(None, images, outputs, priority)


def run(
    predictor: Predictor, model: ServedModel, asked: InferenceRequest
) -> tuple[dict[str, NDArray[np.float32]], list[StageTimes]]:
    return asyncio.run(run_inference(predictor, model, asked))


@pytest.mark.parametrize(
    "images", [arrays(7, 0, 9), (file(7), memoryview(file(0)), file(9))], ids=["arrays", "files"]
)
def test_images_are_answered_in_order(
    predictor: Predictor, model: ServedModel, images: NDArray[np.uint8] | Encoded
) -> None:
    outputs, times = run(predictor, model, request(images))

    assert outputs["logits"].tolist() == [[-7, -7], [0, 0], [-9, -9]]
    assert outputs["probabilities"].tolist() == [[7, 7], [0, 0], [9, 9]]
    assert outputs["ood_score"].tolist() == [7, 0, 9]
    assert outputs["quality"].tolist() == [[14, 14], [0, 0], [18, 18]]
    assert set(outputs) == {"probabilities", "logits", "ood_score", "quality"}
    assert len(times) == 3
    assert all(spent.inference_s > 0 for spent in times)


def test_the_map_is_computed_only_where_it_is_asked_for(
    predictor: Predictor, model: ServedModel
) -> None:
    outputs, _ = run(predictor, model, request(arrays(1, 2), names=("activation_map",)))

    assert outputs["activation_map"].shape == (2, 4, 4, 2)


def test_urgent_images_go_ahead_of_a_batch_that_waits(
    predictor: Predictor, model: ServedModel, session: RecordingSession
) -> None:
    async def both() -> None:
        routine = asyncio.create_task(run_inference(predictor, model, request(arrays(HELD, 1, 2))))
        await asyncio.to_thread(session.waits.wait)
        urgent = asyncio.create_task(
            run_inference(predictor, model, request(arrays(3), Priority.STAT))
        )
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
            await run_inference(predictor, model, request(arrays(FAILING, HELD, 1, 2)))
        await asyncio.sleep(0)
        session.let_go.set()
        await predictor.close()

    asyncio.run(failing())

    assert session.seen in ([FAILING], [FAILING, HELD])


def test_a_file_that_is_no_image_is_named_by_its_place(
    predictor: Predictor, model: ServedModel
) -> None:
    with pytest.raises(NotAnImage, match=r"^image\[1\]: The bytes are no image"):
        run(predictor, model, request((file(1), b"a letter")))


def test_an_error_that_nobody_foresaw_does_not_quote_the_file(
    predictor: Predictor, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quote(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Doe^Jane")

    monkeypatch.setattr("service.image_task.decode", quote)

    with pytest.raises(FileFailed, match="could not be read") as caught:
        run(predictor, model, request((file(1),)))

    assert caught.value.kind == "ZeroDivisionError"
