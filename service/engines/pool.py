"""The engines of one service: one queue before all of them, and what becomes of one that dies."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Self

from service.engines.engine import Engine, Job
from service.engines.process import EngineModels
from service.engines.wire import Order, Outcome
from service.errors import StartError
from service.logs import Logger
from service.prediction import Upload
from service.priorities import Priority, PriorityQueue
from service.repository import ModelRepository
from service.stages import Timed

RESTART_DELAY_S = 1.0


class EngineDied(Exception):
    """The process that read a file ended before it was done."""


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
        self._queue = PriorityQueue[Job]()
        self._engines: list[Engine] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = self._retired = False
        self._holders = 0

    async def start(self) -> Self:
        """Start all processes, and wait until each has loaded every model.

        Raises:
            StartError: One of them does not start, or cannot load a model; none is left.
        """
        starting = [Engine.start(self.models) for _ in range(self._count)]
        started = await asyncio.gather(*starting, return_exceptions=True)
        for each in started:
            if isinstance(each, Engine):
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
        """Have a process read a file; when the caller is cancelled in the queue, none does.

        Args:
            priority: Urgent files go first.
            order: What to do.
            upload: The file.

        Returns:
            What to await; it raises UnknownModel, EngineDied, or what kept the file from a process.
        """
        job = Job(priority, order, upload, asyncio.get_running_loop())
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
        """End the processes. No request must wait for any of them."""
        self._closing = True
        replacing = self._tasks - {asyncio.current_task()}
        await asyncio.gather(*replacing, return_exceptions=True)
        engines, self._engines = self._engines, []
        await asyncio.gather(*(each.end() for each in engines))

    def _close_unless_held(self) -> None:
        if self._retired and not self._holders:
            self._keep(self.close())

    def _give_out(self) -> None:
        while (engine := self._least_busy()) is not None and (job := self._next()) is not None:
            engine.give(job, self._give_out)

    def _least_busy(self) -> Engine | None:
        """The one that has least to do; of several the last that worked, whose cache is warm."""
        open_to_more = [each for each in self._engines if each.has_room]
        return min(open_to_more, key=lambda each: (len(each.jobs), -each.worked), default=None)

    def _next(self) -> Job | None:
        while (job := self._queue.take()) is not None:
            if not job.future.done():
                return job
        return None

    def _add(self, engine: Engine) -> None:
        self._engines.append(engine)
        asyncio.get_running_loop().add_reader(engine.channel, self._receive, engine)
        self._give_out()

    def _receive(self, engine: Engine) -> None:
        """Hand over what an engine has done, and give it something else to do."""
        if engine.receive(self._repository):
            self._give_out()
        else:
            self._died(engine)

    def _died(self, engine: Engine) -> None:
        """Answer for the file that it was at, give the others to somebody else, and start anew."""
        asyncio.get_running_loop().remove_reader(engine.channel)
        self._engines.remove(engine)
        begun, others = engine.take_back()
        for job in reversed(others):
            self._queue.put_back(job.priority, job)
        if begun is not None:
            begun.fail(EngineDied("The process that read the file ended."))
        self._keep(self._replace(engine))
        self._give_out()

    async def _replace(self, engine: Engine) -> None:
        code = await engine.end()
        self._log.error("engine ended", pid=engine.process.pid, exit_code=code)
        while not self._closing:
            try:
                started = await Engine.start(self.models)
            except StartError as error:
                self._log.error("engine not started", reason=str(error))
                await asyncio.sleep(RESTART_DELAY_S)
            else:
                self._add(started)
                return

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        """Have work done beside the requests; a task that nobody holds could be collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
