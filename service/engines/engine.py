"""One engine from outside: its process, its channel, and the files that it was given."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from multiprocessing import forkserver, get_context, util
from multiprocessing.context import ForkServerProcess
from typing import Self

from service.engines.mailbox import KEPT_BYTES, Mailbox
from service.engines.process import MAILBOXES, EngineModels, serve_engine
from service.engines.wire import (
    LONGEST_MESSAGE,
    ORDER,
    READY,
    RESULT,
    Order,
    Outcome,
    Result,
    unpack,
)
from service.errors import ServiceError, StartError
from service.prediction import Upload
from service.priorities import Priority
from service.repository import ModelRepository
from service.stages import Timed

_CONTEXT = get_context("forkserver")
LARGE_FILE_BYTES = 1024 * 1024
"""A file beyond this is copied piece by piece: the event loop has others to answer meanwhile."""
END_PATIENCE_S = 10.0
"""So long a process may be at its last file, whose answer nobody wants, before it is killed."""


def prepare() -> None:
    """Begin what the first engine would wait for, where that has not begun yet.

    Engines are not forked from this process, whose threads may hold any lock, but from one that
    does nothing else: it has imported what they need, and they share its memory.

    Raises:
        OSError: No process can be started.
    """
    _CONTEXT.set_forkserver_preload([serve_engine.__module__])
    forkserver.ensure_running()


class Job:
    """A file to read, which is let go of as soon as nobody waits for the answer."""

    __slots__ = ("chunks", "future", "name", "order", "priority", "sent", "submitted")

    def __init__(
        self, priority: Priority, order: Order, upload: Upload, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Take a request's file."""
        self.priority = priority
        self.order = order
        self.name = upload.name
        self.chunks = upload.chunks
        self.future: asyncio.Future[Timed[Outcome]] = loop.create_future()
        self.future.add_done_callback(self._forget)
        self.submitted = time.perf_counter()
        self.sent = False

    def settle(self, result: Result, ran_s: float) -> None:
        """Hand over what came of it."""
        if isinstance(result, ServiceError):
            self.fail(result)
        elif not self.future.done():
            waited_s = time.perf_counter() - self.submitted - ran_s
            self.future.set_result(Timed(result, max(waited_s, 0.0), ran_s))

    def fail(self, error: Exception) -> None:
        """Hand over why nothing came of it."""
        if not self.future.done():
            self.future.set_exception(error)

    def _forget(self, _: object) -> None:
        self.chunks = ()


class Engine:
    """A process that reads files. It belongs to an event loop, on which all of this is called."""

    def __init__(
        self, process: ForkServerProcess, channel: socket.socket, mailboxes: list[Mailbox]
    ) -> None:
        """Take a process that has been started."""
        self.process = process
        self.channel = channel
        self.worked = 0.0
        self.jobs: dict[int, Job] = {}
        """By their mailboxes, in the order in which they were sent."""
        self._mailboxes = mailboxes
        self._empty = list(range(len(mailboxes)))
        self._copying: set[asyncio.Task[None]] = set()
        # The interpreter waits for its processes when it ends, and they for this to be closed.
        self._hang_up = util.Finalize(None, channel.close, exitpriority=0)

    @classmethod
    async def start(cls, models: EngineModels) -> Self:
        """Start a process, and wait until it is ready.

        Raises:
            StartError: It does not start, or cannot load a model.
        """
        engine = await asyncio.to_thread(cls._start, models)
        try:
            said = await asyncio.get_running_loop().sock_recv(engine.channel, LONGEST_MESSAGE)
        except ConnectionError:
            said = b""
        if said == READY:
            return engine
        code = await engine.end()
        reason = said.decode(errors="replace")
        raise StartError(reason or f"A process that reads images ended with {code}.")

    @classmethod
    def _start(cls, models: EngineModels) -> Self:
        try:
            with ExitStack() as made:
                prepare()
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                made.callback(ours.close)
                with theirs:
                    process = _CONTEXT.Process(target=serve_engine, args=(theirs, models))
                    process.start()
                mailboxes = []
                for _ in range(MAILBOXES):
                    mailboxes.append(Mailbox.make())
                    made.callback(mailboxes[-1].close)
                socket.send_fds(ours, [b"mailboxes"], [each.descriptor for each in mailboxes])
                ours.settimeout(0)
                made.pop_all()
        except (OSError, EOFError, MemoryError) as error:
            # EOFError is that of a fork server that has just been ended.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StartError(f"A process that reads images does not start: {reason}.") from error
        return cls(process, ours, mailboxes)

    @property
    def has_room(self) -> bool:
        """Whether it can be given a file."""
        return bool(self._empty)

    def give(self, job: Job, ended: Callable[[], None]) -> None:
        """Give it a file. What goes wrong goes to the job.

        Args:
            job: Which it answers.
            ended: Called where a large file did not get there, some time later.
        """
        number = self._empty.pop()
        self.jobs[number] = job
        size = sum(map(len, job.chunks))
        steps = self._hand_over(number, job, size)
        if size <= LARGE_FILE_BYTES:
            for _ in steps:
                pass
            return
        task = asyncio.create_task(self._slowly(steps, ended))
        self._copying.add(task)
        task.add_done_callback(self._copying.discard)

    def receive(self, repository: ModelRepository) -> bool:
        """Answer what it has done; False where it has ended."""
        try:
            message = self.channel.recv(LONGEST_MESSAGE)
        except BlockingIOError:
            return True
        except ConnectionError:
            # That is told before what it has sent last.
            return self.receive(repository)
        if not message:
            return False
        number, size, ran_s = RESULT.unpack_from(message)
        mailbox, job = self._mailboxes[number], self.jobs[number]
        try:
            packed = mailbox.read(size) if size else message[RESULT.size :]
            result = unpack(packed, job.name, repository)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next file is read
            job.fail(error)
        else:
            job.settle(result, ran_s)
        self._release(number)
        self.worked = time.perf_counter()
        return True

    def take_back(self) -> tuple[Job | None, list[Job]]:
        """From one that has ended: the file that it was at, and those that it had not begun."""
        for task in self._copying:
            task.cancel()
        begun = next((job for job in self.jobs.values() if job.sent), None)
        others = [job for job in self.jobs.values() if job is not begun]
        for job in others:
            job.sent = False
        self.jobs.clear()
        return begun, others

    async def end(self) -> int | None:
        """Let it end, and let go of what it was given; its exit code."""
        asyncio.get_running_loop().remove_reader(self.channel)
        self._hang_up()
        await asyncio.to_thread(self._join)
        for mailbox in self._mailboxes:
            mailbox.close()
        return self.process.exitcode

    def _join(self) -> None:
        self.process.join(END_PATIENCE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()

    def _hand_over(self, number: int, job: Job, size: int) -> Iterator[None]:
        """Copy a file into a mailbox, a piece at a step, and send the order."""
        mailbox, chunks, end = self._mailboxes[number], job.chunks, 0
        try:
            mailbox.make_room(size)
            for chunk in chunks:
                end = mailbox.put(end, chunk)
                yield
            if job.future.done():
                self._release(number)
                return
            self.channel.send(ORDER.pack(number, size) + job.order.pack())
        except ConnectionError:
            # It has just died, which the channel tells in its own time. This file is still here.
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the job is answered
            self._release(number)
            job.fail(error)
            return
        job.sent = True
        self.jobs[number] = self.jobs.pop(number)

    async def _slowly(self, steps: Iterator[None], ended: Callable[[], None]) -> None:
        for _ in steps:
            await asyncio.sleep(0)
        ended()

    def _release(self, number: int) -> None:
        """Have a mailbox again. It is this side's turn, or it was never the other's."""
        del self.jobs[number]
        self._empty.append(number)
        if self._mailboxes[number].room > KEPT_BYTES:
            with suppress(OSError):
                self._mailboxes[number].make_room(0)
