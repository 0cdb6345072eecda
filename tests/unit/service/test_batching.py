import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.batch_plan import BatchPlan
from service.batching import DynamicBatcher
from service.errors import DeviceLost, InferenceFailed
from service.priorities import TURNS, Priority
from service.repository import ServedModel
from service.session import ModelOutput
from service.stages import Timed
from tests.bundles import make_manifest

MANIFEST = make_manifest("sha256:" + 64 * "0")
PLAN = BatchPlan((1, 2, 4), max_delay_s=0.5)
BROKEN, LOST = 254, 255

Answer = Future[Timed[ModelOutput]]


@dataclass
class EchoSession:
    """Answers with the brightness of each image, and can be held up.

    A broken image fails the whole batch that it is in, and a lost one the device.
    """

    provider = "CPUExecutionProvider"
    batches: list[list[int]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        values = images[:, 0, 0, 0]
        self.batches.append(values.tolist())
        self.running.release()
        assert self.go.wait(10)
        if LOST in values:
            raise DeviceLost("The accelerator does not answer.")
        if BROKEN in values:
            raise InferenceFailed("The model did not run.")
        maps = images.astype(np.float32) if activation_map else None
        return ModelOutput(np.stack([values, values], axis=1).astype(np.float32), maps)


@pytest.fixture
def session() -> EchoSession:
    return EchoSession()


@pytest.fixture
def batcher(session: EchoSession) -> Iterator[DynamicBatcher]:
    made = DynamicBatcher(1)
    yield made
    session.go.set()
    made.close()


def model_of(session: EchoSession, plan: BatchPlan = PLAN) -> ServedModel:
    return ServedModel(MANIFEST, session, plan)


def submit(
    batcher: DynamicBatcher,
    model: ServedModel,
    value: int,
    priority: Priority = Priority.ROUTINE,
    *,
    activation_map: bool = False,
) -> Answer:
    image = np.full((1, 2, 2, 1), value, np.uint8)
    return batcher.submit(model, image, priority, activation_map=activation_map)


def value_of(answer: Answer) -> int:
    return int(answer.result(10).value.probabilities[0, 0])


def occupy(batcher: DynamicBatcher, session: EchoSession) -> Answer:
    """Have the only thread run an image until ``go`` is set, so that a queue can form."""
    answer = submit(batcher, model_of(session, BatchPlan()), 0)
    assert session.running.acquire(timeout=10)
    return answer


def test_what_waits_while_a_batch_runs_is_the_next_batch_padded(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    model = model_of(session)
    occupy(batcher, session)
    answers = [submit(batcher, model, value) for value in (10, 20, 30)]

    assert batcher.depth == 3
    session.go.set()
    assert [value_of(answer) for answer in answers] == [10, 20, 30]
    assert session.batches == [[0], [10, 20, 30, 0]]


def test_a_batch_is_never_larger_than_the_plan(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    model = model_of(session)
    occupy(batcher, session)
    answers = [submit(batcher, model, value) for value in range(1, 7)]

    session.go.set()

    assert [value_of(answer) for answer in answers] == [1, 2, 3, 4, 5, 6]
    assert session.batches[1:] == [[1, 2, 3, 4], [5, 6]]


def test_images_of_two_models_are_never_in_one_batch(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    one, other = model_of(session), model_of(session)
    occupy(batcher, session)
    answers = [submit(batcher, model, value) for value, model in enumerate((one, other, one), 1)]

    session.go.set()

    assert [value_of(answer) for answer in answers] == [1, 2, 3]
    assert session.batches[1:] == [[1, 3], [2]]


def test_a_single_image_does_not_wait_when_none_is_on_its_way(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    session.go.set()

    answer = submit(batcher, model_of(session, BatchPlan((1, 2), max_delay_s=3600)), 7)

    assert value_of(answer) == 7


def test_an_image_waits_for_one_that_is_on_its_way(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    session.go.set()
    model = model_of(session, BatchPlan((1, 2), max_delay_s=3600))

    with batcher.expecting():
        first = submit(batcher, model, 1)
        second = submit(batcher, model, 2)
        both = [value_of(first), value_of(second)]

    assert both == [1, 2]
    assert session.batches == [[1, 2]]


def test_an_image_stops_waiting_when_the_other_turns_out_not_to_come(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    session.go.set()
    model = model_of(session, BatchPlan((1, 2), max_delay_s=3600))

    with batcher.expecting():
        answer = submit(batcher, model, 1)

    assert value_of(answer) == 1


def test_a_thread_that_takes_a_batch_wakes_another_for_the_image_that_is_left(
    session: EchoSession,
) -> None:
    patient = model_of(session, BatchPlan((1, 2), max_delay_s=3600))
    batcher = DynamicBatcher(2)

    with batcher.expecting():
        submit(batcher, patient, 1)
        submit(batcher, model_of(session, BatchPlan()), 3)
        # Both threads come to wait for the batch of the first image.
        time.sleep(0.05)
        submit(batcher, patient, 2)
        both_run = [session.running.acquire(timeout=5) for _ in range(2)]

    session.go.set()
    batcher.close()
    assert both_run == [True, True]


def test_an_image_stops_waiting_when_its_delay_is_over(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    session.go.set()

    with batcher.expecting():
        answer = submit(batcher, model_of(session, BatchPlan((1, 2), max_delay_s=0.01)), 1)
        value = value_of(answer)

    assert value == 1


def test_a_cancelled_image_is_dropped_before_its_batch_and_let_go_of(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    model = model_of(session)
    occupy(batcher, session)
    gone, stays = submit(batcher, model, 1), submit(batcher, model, 2)

    assert gone.cancel()
    session.go.set()
    assert value_of(stays) == 2
    assert session.batches[1:] == [[2]]


def test_an_image_that_fails_a_batch_fails_alone(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    model = model_of(session)
    occupy(batcher, session)
    answers = [submit(batcher, model, value) for value in (1, BROKEN, 3)]

    session.go.set()

    assert [value_of(answers[0]), value_of(answers[2])] == [1, 3]
    with pytest.raises(InferenceFailed):
        answers[1].result(10)


def test_a_lost_device_fails_the_batch_and_is_not_tried_again(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    model = model_of(session)
    occupy(batcher, session)
    answers = [submit(batcher, model, value) for value in (1, LOST)]

    session.go.set()

    for answer in answers:
        with pytest.raises(DeviceLost):
            answer.result(10)
    assert len(session.batches) == 2


def test_a_map_is_computed_where_one_of_the_batch_asks_for_it(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    model = model_of(session)
    occupy(batcher, session)
    submit(batcher, model, 1)
    asking = submit(batcher, model, 2, activation_map=True)

    session.go.set()

    activation_map = asking.result(10).value.activation_map
    assert activation_map is not None
    assert activation_map.shape == (1, 2, 2, 1)
    assert (activation_map == 2).all()


def test_urgent_images_go_first_but_routine_ones_do_not_starve(
    batcher: DynamicBatcher, session: EchoSession
) -> None:
    single = model_of(session, BatchPlan())
    occupy(batcher, session)
    routine = submit(batcher, single, 99)
    urgent = [submit(batcher, single, value, Priority.STAT) for value in range(1, 10)]

    session.go.set()
    for answer in (routine, *urgent):
        answer.result(10)

    place = session.batches.index([99])
    assert 2 <= place <= TURNS


def test_closing_runs_what_is_queued(session: EchoSession) -> None:
    batcher = DynamicBatcher(1)
    model = model_of(session)
    occupy(batcher, session)
    answers = [submit(batcher, model, value) for value in (1, 2, 3, 4, 5)]

    session.go.set()
    batcher.close()

    assert all(answer.done() for answer in answers)


def test_the_size_of_every_batch_is_told(session: EchoSession) -> None:
    told: list[int] = []
    batcher = DynamicBatcher(1, lambda _model, images: told.append(images))
    model = model_of(session)
    occupy(batcher, session)
    for value in (1, 2, 3):
        submit(batcher, model, value)

    session.go.set()
    batcher.close()

    assert told == [1, 3]


@given(
    work=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(1, 253) | st.just(BROKEN),
            st.sampled_from(Priority),
            st.booleans(),
        ),
        max_size=60,
    ),
    threads=st.integers(1, 3),
    pause=st.integers(1, 20),
)
def test_no_image_is_lost_repeated_or_given_the_answer_of_another(
    work: list[tuple[int, int, Priority, bool]], threads: int, pause: int
) -> None:
    session = EchoSession()
    session.go.set()
    models = [model_of(session, plan) for plan in (BatchPlan(), PLAN, BatchPlan((1, 8), 0.001))]
    batcher = DynamicBatcher(threads)

    answers = list[tuple[int, Answer]]()
    for number, (model, value, priority, leaves) in enumerate(work):
        with batcher.expecting():
            answer = submit(batcher, models[model], value, priority)
        if leaves:
            answer.cancel()
        answers.append((value, answer))
        if number % pause == 0:
            time.sleep(0.0002)
    batcher.close()

    for value, answer in answers:
        assert answer.done()
        if answer.cancelled():
            continue
        if value == BROKEN:
            assert isinstance(answer.exception(), InferenceFailed)
        else:
            assert value_of(answer) == value
