"""Processes that decode what is not plain: each file has limits, and one that overruns is ended.

A thread cannot be stopped, and a JPEG 2000 of 500 bytes may ask for gigabytes. So there is one
Pebble pool of one process for each decoder: the processes of a common pool share a pipe, and one
that dies while it holds the pipe's lock hangs them all. A pool that is broken or hangs is left, and
another takes its place.
"""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from contract.cost import DecodeCost
from contract.errors import CorruptImage, ImageError
from contract.preprocessing import PreprocessingSpec
from contract.radiograph import Radiograph
from service.decode_worker import Decoded, DecodeOrder, Images, begin, decode_file
from service.errors import FileFailed, FileTooCostly, OutOfMemory
from service.priorities import TURNS, Priority
from service.settings import MIB

MAX_FILE_BYTES = 850 * MIB
"""The most memory that one file may claim: with the decoder itself below 1 GB."""
MIN_FILE_BYTES = 96 * MIB
WALL_S = 15.0
"""How long one file may take by the clock; a decoder has far less of the CPU."""
START_S = 9.0
"""How long a decoder may take to begin with a file; one that takes longer hangs."""
FIRST_START_S = 60.0
"""How long a new one may take, for which the libraries may be read from the disk."""
END_S = 5.0
RETRY_S = 1.0
_TASKS = 200
"""Files after which a decoder starts afresh, with all the memory that libraries have kept."""
_CPU_EXCEEDED = -24
_CGROUP_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_SERVICE_BYTES = 500_000_000
_DEFAULT_BUDGET = 1_000_000_000
_RESERVE_BYTES = 64 * MIB

T = TypeVar("T")
Fit = Callable[[PreprocessingSpec], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A file that was decoded. ``radiograph`` may lack its pixels; ``fit`` gives it in a size.

    ``fit`` gives uint8 (height, width, 1), 0 black to 255 white.
    """

    radiograph: Radiograph
    fit: Fit


def memory_budget(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many bytes all decoders may take together, where no setting says it.

    The cgroup's limit less 500 MB for the service, at most 1 GB; in a small cgroup what the
    service, which has loaded its models, leaves.
    """
    limit = min((_read_number(cgroup / name) for name in _CGROUP_LIMITS), default=_DEFAULT_BUDGET)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    left = limit - pages * os.sysconf("SC_PAGE_SIZE") - _RESERVE_BYTES
    budget = max(limit - _SERVICE_BYTES, min(left, _SERVICE_BYTES))
    return max(0, min(_DEFAULT_BUDGET, budget))


def _read_number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 1 << 62


@dataclass(eq=False, slots=True)
class _Claim:
    """A file that waits for a decoder and for memory."""

    priority: Priority
    arrival: int
    memory_bytes: int
    turn: asyncio.Future["_Decoder"] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Decoders:
    """At most ``number`` decoders that share one memory budget.

    Each process begins when it is needed, and stays.
    """

    def __init__(self, number: int, memory_bytes: int, max_pixels: int) -> None:
        self._free_bytes = self._budget = memory_bytes
        self._max_pixels = max_pixels
        self._idle = [_Decoder() for _ in range(number)]
        self._all = tuple(self._idle)
        self._waiting: list[_Claim] = []
        self._arrivals, self._turns = count(), count(1)
        self._probes: set[asyncio.Task[None]] = set()

    @property
    def available(self) -> bool:
        """Whether anything that is not plain can be decoded now."""
        return any(decoder.works for decoder in self._all)

    @property
    def depth(self) -> int:
        """How many files wait for a decoder."""
        return len(self._waiting)

    async def decode(
        self,
        chunks: Sequence[bytes],
        cost: DecodeCost,
        priority: Priority,
        *,
        frame: int,
        at_least: tuple[int, int],
        specs: Sequence[PreprocessingSpec],
    ) -> DecodedImage:
        """Decode a file when there is a decoder and memory for it; urgent files go first.

        The (height, width) that is needed is ``at_least``; ``specs`` has every wanted size.

        Raises:
            ImageError: The file cannot be used, or crashed its decoder.
            FileTooCostly: It needs more time or memory than one file may have.
            FileFailed: It met an error that nobody foresaw.
        """
        size = sum(map(len, chunks))
        memory_bytes = max(cost.memory_bytes + size, MIN_FILE_BYTES)
        if memory_bytes > min(self._budget, MAX_FILE_BYTES):
            raise FileTooCostly(
                f"Decoding the file may take {memory_bytes // MIB} MiB, and one file may take "
                f"{min(self._budget, MAX_FILE_BYTES) // MIB} MiB. Send it uncompressed or smaller."
            )
        claim = _Claim(priority, next(self._arrivals), memory_bytes)
        decoder = await self._turn_of(claim)
        try:
            file = await _on_thread(partial(_in_memory_file, chunks), undo=os.close)
            try:
                path = f"/proc/{os.getpid()}/fd/{file}"
                limits = (frame, self._max_pixels, at_least, specs, memory_bytes)
                radiograph, images = await decoder.run(DecodeOrder(path, *limits))
            finally:
                os.close(file)
        finally:
            if decoder.answers:
                self._release(decoder, memory_bytes)
            else:
                # Its file is gone, and nobody else would notice that it hangs.
                probe = asyncio.create_task(self._release_when_it_answers(decoder, memory_bytes))
                self._probes.add(probe)
                probe.add_done_callback(self._probes.discard)
        return DecodedImage(radiograph, images.__getitem__)

    async def close(self) -> None:
        """End every decoder, whatever it does."""
        probes = tuple(self._probes)
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(decoder.end) for decoder in self._all))

    async def _turn_of(self, claim: _Claim) -> "_Decoder":
        self._waiting.append(claim)
        self._serve()
        try:
            return await claim.turn
        except asyncio.CancelledError:
            if claim.turn.cancelled():
                # It may have held up those behind it.
                self._serve()
            else:
                self._release(claim.turn.result(), claim.memory_bytes)
            raise

    async def _release_when_it_answers(self, decoder: "_Decoder", memory_bytes: int) -> None:
        await decoder.probe()
        self._release(decoder, memory_bytes)

    def _release(self, decoder: "_Decoder", memory_bytes: int) -> None:
        self._idle.append(decoder)
        self._free_bytes += memory_bytes
        self._serve()

    def _serve(self) -> None:
        """Give turns in order; one that does not fit yet holds up those behind it.

        One that was cancelled, whose task may not have run since, takes nothing.
        """
        self._waiting = [claim for claim in self._waiting if not claim.turn.done()]
        while self._waiting and self._idle:
            by_arrival = next(self._turns) % TURNS == 0
            claim = min(self._waiting, key=lambda c: (0 if by_arrival else c.priority, c.arrival))
            if claim.memory_bytes > self._free_bytes:
                return
            self._waiting.remove(claim)
            self._free_bytes -= claim.memory_bytes
            claim.turn.set_result(self._idle.pop())


class _Decoder:
    """One process, and the pool that replaces it when it ends.

    ``works`` is False from when it was seen to hang until it answers. ``answers`` is False while it
    has a job, and stays so where nobody waited for the end of the job.
    """

    def __init__(self) -> None:
        self.works = self.answers = True
        self._pool: ProcessPool | None = None

    async def run(self, order: DecodeOrder) -> tuple[Radiograph, Images]:
        try:
            result = await self._submit(order)
        except TimeoutError:
            raise FileTooCostly(
                f"Decoding the file takes more than {WALL_S:g} s. Send it uncompressed or smaller."
            ) from None
        except ProcessExpired as error:
            raise _why_expired(error) from None
        if isinstance(result, OutOfMemory):
            raise FileTooCostly(
                f"Decoding the file takes more than the {order.memory_bytes // MIB} MiB that its "
                "header accounts for. Send it uncompressed or smaller."
            )
        if isinstance(result, ImageError | FileFailed):
            raise result
        return result

    async def probe(self) -> None:
        """Wait until an empty job comes back; a pool that hangs is replaced meanwhile."""
        while not self.answers:
            try:
                await self._try(os.getpid)
            except (_Hangs, TimeoutError, ProcessExpired):
                await self._give_up()
                await asyncio.sleep(RETRY_S)

    def end(self) -> None:
        """Stop the pool and its process; one that does not end in time is left to the kernel."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.stop()  # type: ignore[no-untyped-call]
        ending = threading.Thread(target=pool.join, daemon=True)
        ending.start()
        ending.join(END_S)

    async def _submit(self, order: DecodeOrder) -> Decoded:
        for attempt in range(2):
            try:
                return await self._try(decode_file, order)
            except _Hangs:
                await self._give_up()
                if attempt:
                    raise FileFailed("No decoder answers.", "DecoderHangs") from None
        raise AssertionError("the second attempt returns or raises")

    async def _give_up(self) -> None:
        self.works = self.answers = False
        await asyncio.to_thread(self.end)

    async def _try(self, job: Callable[..., T], *given: object) -> T:
        self.answers = False
        start_s = START_S
        if self._pool is None:
            start_s = FIRST_START_S
            # Never fork: the service has threads, whose locks a forked process would keep.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["pebble.pool.process", "service.decode_worker"])
            self._pool = ProcessPool(1, _TASKS, begin, (), context)
        try:
            schedule = partial(self._pool.schedule, job, given, timeout=WALL_S)
            future: Future[T] = await _on_thread(schedule, undo=Future.cancel)
        except (RuntimeError, OSError):
            raise _Hangs from None
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waiting], timeout=start_s)
            if not waiting.done() and not future.running():
                raise _Hangs
            await asyncio.wait([waiting], timeout=WALL_S + END_S)
            if not waiting.done():
                raise _Hangs
            if isinstance(waiting.exception(), BrokenProcessPool):
                raise _Hangs
            self.works = self.answers = True
            return waiting.result()
        finally:
            # Nobody waits for it any more: its process is ended.
            waiting.cancel()


class _Hangs(Exception):
    """A pool takes no work, or does not end what it has begun."""


def _why_expired(error: ProcessExpired) -> ImageError | FileTooCostly | FileFailed:
    """What the end of a decoder says of the file that it had."""
    if error.exitcode == _CPU_EXCEEDED:
        return FileTooCostly(
            "Decoding the file takes more than a few seconds of the CPU. Send it uncompressed or "
            "smaller."
        )
    if error.exitcode is not None and error.exitcode < 0 and error.exitcode != -9:
        return CorruptImage("The file is damaged in a way that its decoder cannot bear.")
    return FileFailed("The file could not be read.", "DecoderEnded")


async def _on_thread(call: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Await a call that goes on where it is cancelled: what it gives is then undone."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(
            lambda done: done.cancelled() or done.exception() or undo(done.result())
        )
        raise


def _in_memory_file(chunks: Sequence[bytes]) -> int:
    """Put a file where a decoder can read it, which is not on the disk."""
    file = os.memfd_create("image")
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(file, view) :]
    except BaseException:
        os.close(file)
        raise
    return file
