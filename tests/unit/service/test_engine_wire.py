"""What goes between the service and its engines comes out as it went in."""

import threading
from dataclasses import fields, replace

import numpy as np
import pytest

from contract import errors as contract
from contract.decision import Decision, Familiarity
from contract.quality import Check, Quality
from service.engines.mailbox import KEPT_BYTES, Mailbox
from service.engines.wire import Order, pack, unpack
from service.errors import (
    PROBLEM_TYPES,
    FileFailed,
    InferenceFailed,
    OutOfMemory,
    ServiceError,
    UnknownModel,
)
from service.heatmap import Heatmap
from service.lungs import LungPicture
from service.prediction import Answer, PredictionOptions, Rejection, StageTimes
from service.reading import Pending, Reading
from service.repository import ModelRepository, ServedModel
from tests.bundles import make_manifest
from tests.gated_session import GatedSession

MODEL = ServedModel(make_manifest("sha256:" + 64 * "0", version=3), GatedSession(threading.Event()))
REPOSITORY = ModelRepository({"tiny": {3: MODEL}})
TIMES = StageTimes(0.25, 0.5, 0.125)
CHECKS = (
    Check("exposure", 0.5, 0.1, 0.9),
    Check("noise", 2.0, None, 1.0, "Noisy."),
)
ANSWER = Answer(
    name=None,
    sha256="ab" * 32,
    times=TIMES,
    model=MODEL,
    probabilities=np.array([0.1, 0.9], np.float32),
    decision=Decision(present=(False, True), label=None, reasons=("quality.noise",)),
    quality=Quality(CHECKS),
    familiarity=Familiarity(score=1.5, limit=2.5),
    heatmap=Heatmap("pneumonia", "iVBOR", 30, 40, 0.75),
    lungs=LungPicture("iVBOS", 30, 40),
)
BARE = replace(ANSWER, quality=None, familiarity=None, heatmap=None, lungs=None)


@pytest.mark.parametrize("answer", [ANSWER, BARE], ids=["everything", "only what must be"])
def test_an_answer_arrives_with_the_name_that_stayed_here(answer: Answer) -> None:
    arrived = unpack(pack(answer), "chest.dcm", REPOSITORY)

    assert isinstance(arrived, Answer)
    assert arrived.model is MODEL
    assert arrived.name == "chest.dcm"
    for field in fields(Answer):
        if field.name == "probabilities":
            assert arrived.probabilities.tolist() == answer.probabilities.tolist()
        elif field.name != "name":
            assert getattr(arrived, field.name) == getattr(answer, field.name)


def test_an_image_that_waits_for_its_model_arrives() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    reading = Reading(
        "cd" * 32, MODEL, image, 800, 900, Quality(CHECKS), np.ones((4, 4), np.float32)
    )

    arrived = unpack(pack(Pending(reading, TIMES)), None, REPOSITORY)

    assert isinstance(arrived, Pending)
    assert arrived.times == TIMES
    assert arrived.reading.model is MODEL
    assert arrived.reading.quality == reading.quality
    assert arrived.reading.image.tolist() == image.tolist()
    assert arrived.reading.lungs is not None


@pytest.mark.parametrize(
    "kind",
    [k for k in PROBLEM_TYPES if issubclass(k, contract.ImageError)],
    ids=lambda k: k.__name__,
)
def test_every_reason_to_reject_an_image_arrives(kind: type[contract.ImageError]) -> None:
    arrived = unpack(pack(Rejection(None, "ef" * 32, TIMES, kind("Why."))), "a", REPOSITORY)

    assert isinstance(arrived, Rejection)
    assert (type(arrived.error), str(arrived.error)) == (kind, "Why.")
    assert (arrived.name, arrived.sha256, arrived.times) == ("a", "ef" * 32, TIMES)


@pytest.mark.parametrize("kind", [FileFailed, OutOfMemory])
def test_what_may_be_told_of_an_unforeseen_error_arrives(kind: type[FileFailed]) -> None:
    error = kind("Why.", "ZeroDivisionError", ["jpeg.decode:7"])

    arrived = unpack(pack(Rejection(None, "ef" * 32, TIMES, error)), None, REPOSITORY)

    assert isinstance(arrived, Rejection)
    assert isinstance(arrived.error, kind)
    assert (str(arrived.error), arrived.error.kind) == ("Why.", "ZeroDivisionError")
    assert arrived.error.places == ["jpeg.decode:7"]


def test_the_cause_of_a_failed_run_arrives_in_words() -> None:
    error = InferenceFailed("The model did not run.")
    error.__cause__ = RuntimeError("no kernel")

    arrived = unpack(pack(Rejection(None, "ef" * 32, TIMES, error)), None, REPOSITORY)

    assert isinstance(arrived, Rejection)
    assert isinstance(arrived.error, InferenceFailed)
    assert str(arrived.error.__cause__) == "no kernel"


def test_an_error_of_the_whole_request_arrives() -> None:
    arrived = unpack(pack(UnknownModel("There is no such version.")), None, REPOSITORY)

    assert isinstance(arrived, UnknownModel)
    assert isinstance(arrived, ServiceError)
    assert str(arrived) == "There is no such version."


def test_an_order_arrives() -> None:
    order = Order.of(MODEL, PredictionOptions(version=3, frame=2, heatmap=True))

    arrived = Order.unpack(order.pack())

    assert arrived == order
    assert arrived.model == ("tiny", 3)
    assert arrived.options() == PredictionOptions(version=3, frame=2, heatmap=True)


@pytest.fixture
def sides() -> tuple[Mailbox, Mailbox]:
    ours = Mailbox.make()
    return ours, Mailbox(ours.descriptor)


def exchange(sender: Mailbox, receiver: Mailbox, message: bytes) -> bytes:
    sender.make_room(len(message))
    middle = sender.put(0, message[: len(message) // 2])
    sender.put(middle, message[len(message) // 2 :])
    return receiver.read(len(message))


def test_messages_of_any_size_go_back_and_forth(sides: tuple[Mailbox, Mailbox]) -> None:
    ours, theirs = sides
    sizes = [0, 1, 100_000, KEPT_BYTES + 1, 5, 3 * KEPT_BYTES, 200_000, 0, 4096, 4097]
    messages = [np.random.default_rng(size).bytes(size) for size in sizes]

    for there, back in zip(messages, reversed(messages), strict=True):
        assert exchange(ours, theirs, there) == there
        assert exchange(theirs, ours, back) == back


def test_a_mailbox_gives_the_memory_of_a_large_message_back(
    sides: tuple[Mailbox, Mailbox],
) -> None:
    ours, theirs = sides

    exchange(ours, theirs, bytes(10 * KEPT_BYTES))
    exchange(theirs, ours, b"done")
    exchange(ours, theirs, b"next")

    assert ours.room <= KEPT_BYTES
    assert theirs.room <= KEPT_BYTES
