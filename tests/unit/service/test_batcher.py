import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batcher import MicroBatcher
from service.domain import BATCH_SIZES, TURNS, Outputs, Priority, ServedModel, Timed
from service.errors import DeviceLost, InferenceFailed
from tests.sessions import FakeSession, served

pytestmark = pytest.mark.anyio
BROKEN, LOST = 254, 255
Answer = asyncio.Future[Timed[Outputs]]


def echo(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How bright each image is; a broken one fails its whole batch, and a lost one the device."""
    values = images[:, 0, 0, 0]
    if LOST in values:
        raise DeviceLost
    if BROKEN in values:
        raise InferenceFailed
    return np.stack([values, values], axis=1).astype(np.float32)


class Bench:
    """A batcher whose thread runs an image until ``session.go`` is set, so that a queue forms."""

    def __init__(self) -> None:
        self.session, self.told = FakeSession(echo, "CUDAExecutionProvider"), list[int]()
        self.batcher = MicroBatcher(lambda _model, images: self.told.append(images))
        self.model = served(self.session)

    def submit(
        self,
        value: int,
        priority: Priority = Priority.ROUTINE,
        *,
        model: ServedModel | None = None,
        activation_map: bool = False,
    ) -> Answer:
        image = np.full((1, 2, 2, 1), value, np.uint8)
        return self.batcher.run(model or self.model, image, priority, activation_map=activation_map)

    async def values(self, *answers: Answer) -> list[int]:
        self.session.go.set()
        done = await asyncio.wait_for(asyncio.gather(*answers), 10)
        return [int(each.value["probabilities"][0, 0]) for each in done]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    made.submit(0)
    await asyncio.to_thread(made.session.begun.wait)
    yield made
    made.session.go.set()
    await made.batcher.close()


async def test_what_waits_while_a_batch_runs_is_the_next_batch_padded(bench: Bench) -> None:
    answers = [bench.submit(value) for value in (10, 20, 30)]
    depth = bench.batcher.depth
    values = await bench.values(*answers)

    assert depth == 3
    assert values == [10, 20, 30]
    assert bench.session.batches == [[0], [10, 20, 30, 0]]
    assert bench.told == [1, 3]
    assert "activation_map" not in (await answers[0]).value


async def test_a_batch_is_never_larger_than_what_is_warm(bench: Bench) -> None:
    values = await bench.values(*[bench.submit(value) for value in range(1, 41)])

    assert values == list(range(1, 41))
    assert [len(batch) for batch in bench.session.batches] == [1, BATCH_SIZES[-1], 8]


async def test_images_of_two_models_are_never_in_one_batch(bench: Bench) -> None:
    models = (bench.model, served(bench.session), bench.model)
    answers = [bench.submit(value, model=model) for value, model in enumerate(models, 1)]
    values = await bench.values(*answers)

    assert values == [1, 2, 3]
    assert bench.session.batches[1:] == [[1, 3], [2]]


async def test_a_cancelled_image_is_dropped_before_its_batch(bench: Bench) -> None:
    gone, stays = bench.submit(1), bench.submit(2)
    gone.cancel()

    assert await bench.values(stays) == [2]
    assert bench.session.batches[1:] == [[2]]


async def test_an_image_that_fails_a_batch_fails_alone(bench: Bench) -> None:
    first, broken, last = (bench.submit(value) for value in (1, BROKEN, 3))

    assert await bench.values(first, last) == [1, 3]
    with pytest.raises(InferenceFailed):
        await broken


async def test_a_lost_device_fails_the_batch_and_is_not_tried_again(bench: Bench) -> None:
    answers = [bench.submit(value) for value in (1, LOST)]
    bench.session.go.set()
    failed = await asyncio.gather(*answers, return_exceptions=True)

    assert [type(each) for each in failed] == [DeviceLost] * 2
    assert len(bench.session.batches) == 2


async def test_what_fails_outside_a_run_fails_its_batch_and_not_the_next(bench: Bench) -> None:
    wrong = bench.batcher.run(bench.model, np.zeros(0, np.uint8), Priority.ROUTINE)
    bench.session.go.set()

    with pytest.raises(ValueError, match="wrong shape"):
        await wrong
    assert await bench.values(bench.submit(2)) == [2]


async def test_a_stop_leaves_a_run_that_hangs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.batcher.END_S", 0.01)

    await bench.batcher.close()

    assert not bench.session.go.is_set()


async def test_a_map_is_computed_where_one_of_the_batch_asks_for_it(bench: Bench) -> None:
    bench.submit(1)
    asking = bench.submit(2, activation_map=True)
    await bench.values(asking)
    found = (await asking).value["activation_map"]

    assert len(found) == 1
    assert (found == 2).all()


async def test_urgent_images_go_first_but_routine_ones_do_not_starve(bench: Bench) -> None:
    routine = bench.submit(99, model=served(bench.session))
    urgent = [
        bench.submit(value, Priority.STAT, model=served(bench.session)) for value in range(1, 10)
    ]
    await bench.values(routine, *urgent)

    assert 2 <= bench.session.batches.index([99]) <= TURNS
