"""Processes that decode what is not plain: each file has limits, and one that overruns is ended.

A thread cannot be stopped, and a JPEG 2000 of 500 bytes may ask for gigabytes. So each decoder is a
process with two pipes of its own, which it shares with nobody: killing it harms nothing else.
"""

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import cast

from contract.cost import DecodeCost
from contract.errors import CorruptImage, ImageError
from contract.preprocessing import PreprocessingSpec
from contract.radiograph import Radiograph
from service.decode_worker import LENGTH_BYTES, READY, Decoded, DecodeOrder, Images, Unforeseen
from service.domain import TURNS, Encoded, Priority
from service.errors import FileFailed, ProblemType, ServiceError

MIB = 1024 * 1024
MAX_FILE_BYTES = 850 * MIB
"""The most memory that one file may claim: with the decoder itself below 1 GB."""
MIN_FILE_BYTES = 96 * MIB
WALL_S = 15.0
"""How long one file may take by the clock; a decoder has far less of the CPU."""
START_S = 60.0
"""How long a decoder may take to start, for which its libraries may be read from the disk."""
RETRY_S = 1.0
_FILES = 1000
"""Files after which a decoder starts afresh, with all the memory that libraries have kept."""
_CPU_EXCEEDED, _KILLED = -24, -9
# It finds its modules where this process has found them, and not in the working folder.
_COMMAND = (sys.executable, "-P", "-c", "from service.decode_worker import main; main()")
_MODULES = {"PYTHONPATH": os.pathsep.join(sys.path)}


@dataclass(eq=False, slots=True)
class _Claim:
    """A file that waits for a decoder and for memory."""

    priority: Priority
    memory_bytes: int
    turn: asyncio.Future["_Decoder"] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Decoders:
    """At most ``number`` decoders that share one memory budget; each begins when it is needed."""

    def __init__(self, number: int, memory_bytes: int, max_pixels: int) -> None:
        self._free_bytes = self._budget = memory_bytes
        self._max_pixels = max_pixels
        self._idle = [_Decoder() for _ in range(number)]
        self._all = tuple(self._idle)
        self._waiting: list[_Claim] = []
        self._turns = count(1)

    @property
    def available(self) -> bool:
        """Whether anything that is not plain can be decoded now."""
        return any(decoder.starts for decoder in self._all)

    @property
    def depth(self) -> int:
        """How many files wait for a decoder."""
        return len(self._waiting)

    async def decode(
        self,
        chunks: Encoded,
        cost: DecodeCost,
        priority: Priority,
        *,
        frame: int,
        at_least: tuple[int, int],
        specs: Sequence[PreprocessingSpec],
    ) -> tuple[Radiograph, Images]:
        """Decode a file when there is a decoder and memory for it; urgent files go first.

        The (height, width) that is needed is ``at_least``; ``specs`` has every wanted size. Gives
        what the file is, without its pixels, and the image in each size, uint8 (height, width, 1),
        0 black to 255 white. Raises ImageError where the file cannot be used, or crashed its
        decoder, and ServiceError where it costs too much, or met what nobody foresaw.
        """
        memory_bytes = max(cost.memory_bytes + sum(map(len, chunks)), MIN_FILE_BYTES)
        most = min(self._budget, MAX_FILE_BYTES)
        if memory_bytes > most:
            raise _too_costly(
                f"may take {memory_bytes // MIB} MiB, and one file may take {most // MIB} MiB"
            )
        decoder = await self._turn_of(_Claim(priority, memory_bytes))
        try:
            async with _in_memory_file(chunks) as path:
                limits = (frame, self._max_pixels, at_least, specs, memory_bytes)
                return await decoder.run(DecodeOrder(path, *limits))
        finally:
            self._release(decoder, memory_bytes)

    async def close(self) -> None:
        """End every decoder, whatever it does."""
        await asyncio.gather(*(decoder.end() for decoder in self._all))

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

    def _release(self, decoder: "_Decoder", memory_bytes: int) -> None:
        self._idle.append(decoder)
        self._free_bytes += memory_bytes
        self._serve()

    def _serve(self) -> None:
        """Give turns in order; one that does not fit yet holds up those behind it."""
        # One that was cancelled, whose task may not have run since, takes nothing.
        self._waiting = [claim for claim in self._waiting if not claim.turn.done()]
        while self._waiting and self._idle:
            by_arrival = next(self._turns) % TURNS == 0
            claim = (
                self._waiting[0] if by_arrival else min(self._waiting, key=attrgetter("priority"))
            )
            if claim.memory_bytes > self._free_bytes:
                return
            self._waiting.remove(claim)
            self._free_bytes -= claim.memory_bytes
            claim.turn.set_result(self._idle.pop())


class _Decoder:
    """One process, and the next where it has ended. ``starts`` is False while none can start."""

    def __init__(self) -> None:
        self.starts = True
        self._process: asyncio.Task[Process] | None = None
        self._files = 0

    async def run(self, order: DecodeOrder) -> tuple[Radiograph, Images]:
        process = await self._running()
        try:
            async with asyncio.timeout(WALL_S):
                answer = await _exchange(process, order)
        except BaseException as error:
            # It has overrun, or has ended, or nobody waits for it any more.
            await self.end()
            if isinstance(error, TimeoutError):
                raise _too_costly(f"takes more than {WALL_S:g} s") from None
            # uvloop gives a RuntimeError where the pipe is closed.
            if isinstance(error, EOFError | OSError | RuntimeError):
                raise _why_ended(process.returncode) from None
            raise
        self._files += 1
        if self._files == _FILES:
            await self.end()
        if isinstance(answer, ImageError):
            raise answer
        if isinstance(answer, Unforeseen) and answer.is_memory:
            claimed = f"{order.memory_bytes // MIB} MiB that its header accounts for"
            raise _too_costly(f"takes more than the {claimed}")
        if isinstance(answer, Unforeseen):
            raise FileFailed(answer.kind, answer.places)
        return answer

    async def end(self) -> None:
        """Kill the process, whatever it does."""
        task, self._process, self._files = self._process, None, 0
        if task is None:
            return
        task.cancel()
        for process in await asyncio.gather(task, return_exceptions=True):
            if isinstance(process, Process):
                await _kill(process)

    async def _running(self) -> Process:
        """The process, when it is ready; one client that leaves stops no start."""
        task = self._process
        if task is not None and task.done() and task.result().returncode is not None:
            await self.end()
        if self._process is None:
            self._process = asyncio.create_task(self._start())
        return await asyncio.shield(self._process)

    async def _start(self) -> Process:
        # What it needs of the environment is no setting, some of which are secrets.
        kept = {name: word for name, word in os.environ.items() if not name.startswith("PNEUMO_")}
        while True:
            try:
                process = await asyncio.create_subprocess_exec(
                    *_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=kept | _MODULES
                )
                try:
                    async with asyncio.timeout(START_S):
                        await _answers(process).readexactly(len(READY))
                except BaseException:
                    await _kill(process)
                    raise
            except Exception:  # noqa: BLE001 - whatever it is, the next try may succeed
                self.starts = False
                await asyncio.sleep(RETRY_S)
            else:
                self.starts = True
                return process


async def _exchange(process: Process, order: DecodeOrder) -> Decoded:
    cast("asyncio.StreamWriter", process.stdin).write(pickle.dumps(order))
    length = int.from_bytes(await _answers(process).readexactly(LENGTH_BYTES), "little")
    answer: Decoded = pickle.loads(await _answers(process).readexactly(length))  # noqa: S301
    return answer


def _answers(process: Process) -> asyncio.StreamReader:
    return cast("asyncio.StreamReader", process.stdout)


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _too_costly(it: str) -> ServiceError:
    advice = "Send it uncompressed or smaller."
    return ServiceError(ProblemType.FILE_TOO_COSTLY, f"Decoding the file {it}. {advice}")


def _why_ended(exit_code: int | None) -> ImageError | ServiceError:
    """What the end of a decoder says of the file that it had."""
    if exit_code == _CPU_EXCEEDED:
        return _too_costly("takes more than a few seconds of the CPU")
    if exit_code is not None and exit_code < 0 and exit_code != _KILLED:
        return CorruptImage("The file is damaged in a way that its decoder cannot bear.")
    return FileFailed("DecoderEnded")


@asynccontextmanager
async def _in_memory_file(chunks: Encoded) -> AsyncIterator[str]:
    """The path of a file that is not on the disk, where a decoder can read it."""
    file = os.memfd_create("image")
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(file, view[:MIB]) :]
                # Everybody else has a turn between the pieces.
                await asyncio.sleep(0)
        yield f"/proc/{os.getpid()}/fd/{file}"
    finally:
        os.close(file)
