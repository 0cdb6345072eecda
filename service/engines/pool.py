"""The engines from outside: one queue before all of them, and what becomes of one that dies."""

import asyncio
import atexit
import contextlib
import socket
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from typing import Self

from service.engines.mailbox import Mailbox
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
from service.executors import Priority, PriorityQueue, Timed
from service.logs import Logger
from service.prediction import Upload
from service.repository import ModelRepository

_CONTEXT = get_context("forkserver")
RESTART_DELAY_S = 1.0
LARGE_FILE_BYTES = 1024 * 1024
"""A file beyond this is copied piece by piece: the event loop has others to answer meanwhile."""


class EngineDied(Exception):
    """The process that read a file ended before it was done."""


def prepare() -> None:
    """Begin what the first engine would wait for, where that has not begun yet.

    Engines are not forked from this process, whose threads may hold any lock, but from one that
    does nothing else: it has imported what they need, and they share its memory.

    Raises:
        OSError: No process can be started.
    """
    _CONTEXT.set_forkserver_preload([serve_engine.__module__])
    forkserver.ensure_running()


class Engines:
    """Processes that read files for one event loop. All of them serve the same models."""

    def __init__(
        self, count: int, models: EngineModels, repository: ModelRepository, log: Logger
    ) -> None:
        """Prepare to start.

        Args:
            count: How many processes, at least 1.
            models: What they serve.
            repository: The same models, as this process has them.
            log: Where the death of a process is told.
        """
        self.models = models
        self._count = count
        self._repository = repository
        self._log = log
        self._queue = PriorityQueue[_Job]()
        self._engines: list[_Engine] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._closing = self._retired = False
        self._holders = 0

    async def start(self) -> Self:
        """Start all processes, and wait until each has loaded every model.

        Raises:
            StartError: One of them does not start, or cannot load a model; none is left.
        """
        starting = [_Engine.start(self.models) for _ in range(self._count)]
        started = await asyncio.gather(*starting, return_exceptions=True)
        for each in started:
            if isinstance(each, _Engine):
                self._add(each)
        for each in started:
            if isinstance(each, BaseException):
                await self.close()
                raise each
        return self

    @property
    def depth(self) -> int:
        """How many files wait for a process."""
        return len(self._queue)

    @property
    def alive(self) -> int:
        """How many processes there are just now."""
        return len(self._engines)

    def run(
        self, priority: Priority, order: Order, upload: Upload
    ) -> asyncio.Future[Timed[Outcome]]:
        """Have a process read a file; when the caller is cancelled first, none does.

        Args:
            priority: Urgent files go first.
            order: What to do.
            upload: The file.

        Returns:
            What to await; it raises UnknownModel, or EngineDied.
        """
        job = _Job(priority, order, upload, asyncio.get_running_loop())
        self._queue.put(priority, job)
        self._give_out()
        return job.future

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep them for as long as a request may need them."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            self._close_unless_held()

    def retire(self) -> None:
        """End as soon as no request holds them any more, without waiting for that."""
        self._retired = True
        self._close_unless_held()

    async def close(self) -> None:
        """Finish what is queued, then end the processes."""
        self._closing = True
        replacing = self._tasks - {asyncio.current_task()}
        await asyncio.gather(*replacing)
        while self._engines and (len(self._queue) or any(each.jobs for each in self._engines)):
            self._idle.clear()
            await self._idle.wait()
        engines, self._engines = self._engines, []
        await asyncio.gather(*(each.end() for each in engines))
        while (job := self._next()) is not None:
            job.fail(EngineDied("The processes that read files ended."))

    def _close_unless_held(self) -> None:
        if self._retired and not self._holders:
            self._keep(self.close())

    def _give_out(self) -> None:
        while (engine := self._free()) is not None and (job := self._next()) is not None:
            engine.take(job)

    def _free(self) -> "_Engine | None":
        """The one that has least to do; of several the last that worked, whose cache is warm."""
        free = [each for each in self._engines if each.free]
        return min(free, key=lambda each: (len(each.jobs), -each.worked), default=None)

    def _next(self) -> "_Job | None":
        while (job := self._queue.take()) is not None:
            if not job.future.done():
                return job
        return None

    def _add(self, engine: "_Engine") -> None:
        self._engines.append(engine)
        loop = asyncio.get_running_loop()
        loop.add_reader(engine.channel, self._receive, engine)
        self._give_out()

    def _receive(self, engine: "_Engine") -> None:
        """Hand over what an engine has done, and give it something else to do."""
        done = engine.receive(self._repository)
        if done is None:
            self._died(engine)
            return
        self._give_out()
        job, result, ran_s = done
        job.settle(result, ran_s)
        if self._closing:
            self._idle.set()

    def _died(self, engine: "_Engine") -> None:
        """Answer for the file that it was at, give the others to somebody else, and start anew."""
        self._engines.remove(engine)
        asyncio.get_running_loop().remove_reader(engine.channel)
        culprit = next((job for job in engine.jobs.values() if job.sent), None)
        for job in reversed(engine.jobs.values()):
            if job.copying is not None:
                job.copying.cancel()
            if job is not culprit:
                job.sent = False
                self._queue.put_back(job.priority, job)
        if culprit is not None:
            culprit.fail(EngineDied("The process that read the file ended."))
        engine.jobs.clear()
        self._idle.set()
        self._keep(self._replace(engine))
        self._give_out()

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        """Have work done beside the requests; a task that nobody holds could be collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, engine: "_Engine") -> None:
        code = await engine.end()
        self._log.error("engine ended", pid=engine.process.pid, exit_code=code)
        while not self._closing:
            try:
                started = await _Engine.start(self.models)
            except StartError as error:
                self._log.error("engine not started", reason=str(error))
                await asyncio.sleep(RESTART_DELAY_S)
            else:
                self._add(started)
                return


class _Job:
    """A file to read."""

    __slots__ = ("copying", "future", "order", "priority", "sent", "submitted", "upload")

    def __init__(
        self,
        priority: Priority,
        order: Order,
        upload: Upload,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.priority = priority
        self.order = order
        self.upload = upload
        self.future: asyncio.Future[Timed[Outcome]] = loop.create_future()
        self.submitted = time.perf_counter()
        self.sent = False
        self.copying: asyncio.Task[None] | None = None

    def settle(self, result: Result, ran_s: float) -> None:
        if self.future.done():
            return
        if isinstance(result, ServiceError):
            self.future.set_exception(result)
            return
        waited_s = time.perf_counter() - self.submitted - ran_s
        self.future.set_result(Timed(result, max(waited_s, 0.0), ran_s))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Engine:
    """One process, and what it has to do."""

    def __init__(
        self, process: ForkServerProcess, channel: socket.socket, mailboxes: list[Mailbox]
    ) -> None:
        self.process = process
        self.channel = channel
        self.jobs: dict[int, _Job] = {}
        self.worked = 0.0
        self._mailboxes = mailboxes
        self._free = list(range(len(mailboxes)))

    @classmethod
    async def start(cls, models: EngineModels) -> Self:
        """Start a process, and wait until it is ready.

        Raises:
            StartError: It does not start, or cannot load a model.
        """
        engine = await asyncio.to_thread(cls._start, models)
        loop = asyncio.get_running_loop()
        try:
            said = await loop.sock_recv(engine.channel, LONGEST_MESSAGE)
        except ConnectionError:
            said = b""
        if said == READY:
            return engine
        code = await engine.end()
        raise StartError(said.decode() or f"A process that reads images ended with {code}.")

    @classmethod
    def _start(cls, models: EngineModels) -> Self:
        try:
            prepare()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            mailboxes = [Mailbox.make() for _ in range(MAILBOXES)]
            process = _CONTEXT.Process(target=serve_engine, args=(theirs, models), name="engine")
            with theirs:
                process.start()
        except OSError as error:
            raise StartError(f"Cannot start a process: {error.strerror}.") from error
        # The interpreter waits for its processes when it ends, and they for this.
        atexit.register(ours.close)
        socket.send_fds(ours, [b"mailboxes"], [each.descriptor for each in mailboxes])
        ours.setblocking(False)  # noqa: FBT003 - it takes no name
        return cls(process, ours, mailboxes)

    @property
    def free(self) -> bool:
        """Whether it can be given a file."""
        return bool(self._free)

    def take(self, job: _Job) -> None:
        """Give it a file."""
        number = self._free.pop()
        self.jobs[number] = job
        size = sum(map(len, job.upload.chunks))
        if size > LARGE_FILE_BYTES:
            job.copying = asyncio.create_task(self._copy_slowly(number, job, size))
            return
        mailbox, end = self._mailboxes[number], 0
        mailbox.make_room(size)
        for chunk in job.upload.chunks:
            end = mailbox.put(end, chunk)
        self._send(number, job, size)

    async def _copy_slowly(self, number: int, job: _Job, size: int) -> None:
        """Let the event loop do something else between two pieces."""
        mailbox, end = self._mailboxes[number], 0
        mailbox.make_room(size)
        for chunk in job.upload.chunks:
            end = mailbox.put(end, chunk)
            await asyncio.sleep(0)
        self._send(number, job, size)

    def _send(self, number: int, job: _Job, size: int) -> None:
        job.sent = True
        # Where it has just died, the channel tells that in its own time.
        with contextlib.suppress(ConnectionError):
            self.channel.send(ORDER.pack(number, size) + job.order.pack())

    def receive(self, repository: ModelRepository) -> tuple[_Job, Result, float] | None:
        """What it has done, and how many seconds that took; None where it has ended."""
        try:
            message = self.channel.recv(LONGEST_MESSAGE)
        except ConnectionError:
            return None
        if not message:
            return None
        number, size, ran_s = RESULT.unpack_from(message)
        packed = self._mailboxes[number].read(size) if size else message[RESULT.size :]
        self._free.append(number)
        self.worked = time.perf_counter()
        job = self.jobs.pop(number)
        return job, unpack(packed, job.upload.name, repository), ran_s

    async def end(self) -> int | None:
        """Let it end, and let go of what it was given; its exit code."""
        asyncio.get_running_loop().remove_reader(self.channel)
        atexit.unregister(self.channel.close)
        self.channel.close()
        await asyncio.to_thread(self.process.join)
        for mailbox in self._mailboxes:
            mailbox.close()
        return self.process.exitcode
