"""Decode inputs as the service does, in a process that may die, and note what must not be.

Plain files are decoded as a thread of the service would, all others by the function that runs in
its decoders, with their limits on time and memory.
"""

import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.sharedctypes import Synchronized
from typing import Any
from unittest.mock import patch

import numpy as np

from contract.cost import MAX_MEMORY_BYTES, MAX_SECONDS, estimate_cost
from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import Radiograph, decode
from service import decode_worker
from service.decode_worker import DecodeOrder, Unforeseen, die_with_parent
from service.decoders import MIN_FILE_BYTES

MAX_PIXELS = 100_000_000
SPEC = PreprocessingSpec(height=192, width=192)
HANGS_S = 300.0
_LOOK_S = 1.0
# How the kernel ends a decoder that overruns its time; the service answers 413.
_XCPU = -24

Inputs = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Fault:
    """What an input did that none may do."""

    number: int
    words: str


def run(inputs: Inputs, first: int, end: int) -> Iterator[int | Fault]:
    """Decode the inputs of the numbers from ``first`` to before ``end``, in a process of their own.

    Gives each fault, and from time to time the number that it has come to. A process that dies is
    replaced, and goes on with the next input.
    """
    context = multiprocessing.get_context("spawn")
    at, faults = context.Value("q", first), context.SimpleQueue()
    while at.value < end:
        worker = context.Process(target=_work, args=(inputs, end, at, faults), daemon=True)
        worker.start()
        seen, since = at.value, time.monotonic()
        while worker.is_alive() and time.monotonic() - since < HANGS_S:
            worker.join(_LOOK_S)
            if at.value != seen:
                seen, since = at.value, time.monotonic()
            yield seen
        is_hanging = worker.is_alive()
        worker.kill()
        worker.join()
        while not faults.empty():
            yield faults.get()
        if at.value < end:
            if is_hanging:
                yield Fault(at.value, f"takes more than {HANGS_S:g} s by the clock")
            elif worker.exitcode != _XCPU:
                yield Fault(at.value, f"ended its process: {worker.exitcode}")
            at.value += 1
    yield end


def _work(inputs: Inputs, end: int, at: "Synchronized[int]", faults: "SimpleQueue[Fault]") -> None:
    """Check one input after another; ``at`` tells which, should one end the process."""
    die_with_parent(signal.SIGKILL)
    # Native libraries write of what they meet in a file.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in range(at.value, end):
        at.value = number
        if words := check(inputs(number)):
            faults.put(Fault(number, words))
    at.value = end


def check(data: bytes) -> str | None:
    """Decode one input; the result says what went wrong, None where it was read or refused.

    Its second frame is decoded too, and refused where there is none.
    """
    return _check(data, 1) or _check(data, 2)


def _check(data: bytes, frame: int) -> str | None:
    peak, spent = _peak_bytes(), time.process_time()
    try:
        _decode(data, frame)
    except ImageError:
        pass
    except Exception:  # noqa: BLE001 - the point of it all
        return traceback.format_exc()
    finally:
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.getrlimit(limit)[1]))
    if (seconds := time.process_time() - spent) > MAX_SECONDS:
        return f"takes {seconds:.1f} s of the CPU"
    if peak < MAX_MEMORY_BYTES < _peak_bytes():
        return f"takes {_peak_bytes() / 1e6:.0f} MB"
    return None


def _decode(data: bytes, frame: int) -> None:
    cost = estimate_cost(data, frame=frame, max_pixels=MAX_PIXELS)
    if cost.plain:
        options = {"frame": frame, "max_pixels": MAX_PIXELS, "at_least": SPEC.size}
        preprocess(_read(data, **options, cost=cost), SPEC)
        return
    file = os.memfd_create("image")
    try:
        os.write(file, data)
        claim = max(cost.memory_bytes + len(data), MIN_FILE_BYTES)
        path = f"/proc/self/fd/{file}"
        order = DecodeOrder(path, frame, MAX_PIXELS, SPEC.size, (SPEC,), claim)
        with patch.object(decode_worker, "decode", _read):
            found = decode_worker.decode_file(order)
    finally:
        os.close(file)
    if isinstance(found, Unforeseen) and not found.is_memory:
        raise AssertionError(f"{found.kind} at {found.places}")


def _read(data: bytes, **options: Any) -> Radiograph:
    """Decode, and demand of the result what ``decode`` promises."""
    radiograph = decode(data, **options)
    assert radiograph.pixels.dtype in (np.uint8, np.uint16)
    assert radiograph.pixels.ndim == 2
    assert 0 < radiograph.pixels.size <= radiograph.rows * radiograph.columns <= MAX_PIXELS
    return radiograph


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
