"""An engine from outside, with the test at the other end of its channel."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from typing import cast

import pytest

from contract.errors import NotAnImage
from service.engines.engine import LARGE_FILE_BYTES, Engine, Job
from service.engines.mailbox import KEPT_BYTES, Mailbox
from service.engines.process import MAILBOXES
from service.engines.wire import LONGEST_MESSAGE, ORDER, RESULT, Order, pack
from service.errors import UnknownModel
from service.prediction import PredictionOptions, Rejection, StageTimes, Upload
from service.priorities import Priority
from tests.unit.service.test_engine_wire import ANSWER, REPOSITORY

LARGE = (bytes(LARGE_FILE_BYTES), b"end")


@dataclass
class Other:
    """The inside of an engine, as far as the test plays it."""

    channel: socket.socket
    mailboxes: list[Mailbox]

    def order(self) -> tuple[int, bytes]:
        """The next order: which mailbox, and what is in it."""
        number, size = ORDER.unpack_from(self.channel.recv(LONGEST_MESSAGE))
        return number, self.mailboxes[number].read(size)

    def answer(self, number: int, result: bytes) -> None:
        self.channel.send(RESULT.pack(number, 0, 0.25) + result)


@pytest.fixture
def ends() -> Iterator[tuple[Engine, Other]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    theirs.settimeout(5)
    mailboxes = [Mailbox.make() for _ in range(MAILBOXES)]
    others = [Mailbox(mailbox.descriptor) for mailbox in mailboxes]
    with ours, theirs:
        yield Engine(cast("ForkServerProcess", None), ours, mailboxes), Other(theirs, others)


def make_job(*chunks: bytes) -> Job:
    order = Order.of(None, PredictionOptions())
    loop = asyncio.get_running_loop()
    return Job(Priority.ROUTINE, order, Upload("chest.dcm", chunks), loop)


def nothing() -> None:
    pass


def test_a_file_goes_over_and_its_answer_comes_back(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        job = make_job(b"first ", b"second")
        engine.give(job, nothing)
        number, file = other.order()
        other.answer(number, pack(ANSWER))

        assert file == b"first second"
        assert engine.receive(REPOSITORY)
        done = await job.future
        assert (done.value.name, done.ran_s) == ("chest.dcm", 0.25)  # type: ignore[union-attr]
        assert not engine.jobs

    asyncio.run(test())


def test_it_has_room_for_the_file_that_it_reads_and_one_more(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        for _ in range(MAILBOXES):
            assert engine.has_room
            engine.give(make_job(b"file"), nothing)
        assert not engine.has_room
        number, _ = other.order()
        other.answer(number, pack(UnknownModel("No.")))
        engine.receive(REPOSITORY)
        assert engine.has_room

    asyncio.run(test())


@pytest.mark.parametrize("chunks", [(b"small",), LARGE], ids=["small", "large"])
def test_a_file_that_there_is_no_memory_for_fails_alone(
    ends: tuple[Engine, Other], chunks: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, other = ends

    def no_room(_: Mailbox, size: int) -> None:
        raise MemoryError

    async def test() -> None:
        ended = asyncio.Event()
        failing, following = make_job(*chunks), make_job(b"next")
        with monkeypatch.context() as patch:
            patch.setattr(Mailbox, "make_room", no_room)
            engine.give(failing, ended.set)
            with pytest.raises(MemoryError):
                await failing.future
        if chunks is LARGE:
            await asyncio.wait_for(ended.wait(), 5)
        assert not engine.jobs
        engine.give(following, nothing)
        assert other.order()[1] == b"next"

    asyncio.run(test())


def test_an_answer_that_cannot_be_read_fails_its_file_alone(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        job = make_job(b"file")
        engine.give(job, nothing)
        other.answer(other.order()[0], b"no pickle")
        assert engine.receive(REPOSITORY)
        with pytest.raises(Exception, match=r"pickle|load key"):
            await job.future
        assert not engine.jobs
        assert engine.has_room

    asyncio.run(test())


def test_an_answer_that_was_sent_before_the_end_is_not_lost(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        answered, unread = make_job(b"first"), make_job(b"second")
        engine.give(answered, nothing)
        engine.give(unread, nothing)
        number, _ = other.order()
        other.answer(number, pack(ANSWER))
        # The other order is still in the channel, so that this end is reset.
        other.channel.close()

        assert engine.receive(REPOSITORY)
        assert answered.future.done()
        assert not engine.receive(REPOSITORY)
        begun, others = engine.take_back()
        assert (begun, others) == (unread, [])

    asyncio.run(test())


def test_who_dies_was_at_the_file_that_was_sent_first(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        sent = asyncio.Event()
        large, small = make_job(*LARGE), make_job(b"small")
        engine.give(large, sent.set)
        engine.give(small, nothing)
        assert other.order()[1] == b"small"
        await asyncio.wait_for(sent.wait(), 5)
        assert large.sent
        begun, others = engine.take_back()
        assert (begun, others) == (small, [large])
        assert not large.sent
        assert large.chunks == LARGE

    asyncio.run(test())


def test_a_file_that_is_still_copied_when_it_dies_is_given_to_another(
    ends: tuple[Engine, Other],
) -> None:
    engine, _ = ends

    async def test() -> None:
        large = make_job(*LARGE)
        engine.give(large, nothing)
        begun, others = engine.take_back()
        await asyncio.sleep(0)
        assert (begun, others) == (None, [large])

    asyncio.run(test())


def test_an_idle_one_that_has_died_has_read_nothing(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        other.channel.close()
        job = make_job(b"file")
        engine.give(job, nothing)
        assert not engine.receive(REPOSITORY)
        assert engine.take_back() == (None, [job])

    asyncio.run(test())


def test_a_file_that_nobody_waits_for_is_not_sent(ends: tuple[Engine, Other]) -> None:
    engine, other = ends

    async def test() -> None:
        ended = asyncio.Event()
        large = make_job(*LARGE)
        engine.give(large, ended.set)
        large.future.cancel()
        await asyncio.wait_for(ended.wait(), 5)
        assert not large.chunks
        assert not engine.jobs
        engine.give(make_job(b"next"), nothing)
        assert other.order()[1] == b"next"

    asyncio.run(test())


def test_the_memory_of_a_large_file_is_given_back_with_its_answer(
    ends: tuple[Engine, Other],
) -> None:
    engine, other = ends

    async def test() -> None:
        sent = asyncio.Event()
        large = make_job(bytes(2 * KEPT_BYTES))
        engine.give(large, sent.set)
        await asyncio.wait_for(sent.wait(), 5)
        number, _ = other.order()
        rejection = Rejection(None, "ab", StageTimes(), NotAnImage("No image."))
        other.answer(number, pack(rejection))
        engine.receive(REPOSITORY)
        assert other.mailboxes[number].read(0) == b""
        assert other.mailboxes[number].room <= KEPT_BYTES

    asyncio.run(test())
