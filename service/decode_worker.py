"""What runs in a decoder: one file at a time, within limits that end the process where it overruns.

It imports ``contract`` alone, so that a decoder starts fast and is small. Orders come on standard
input; a byte on standard output says that it is ready, and each answer is a pickle behind its
length, 8 bytes, little-endian.
"""

import ctypes
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import Radiograph, decode

CPU_S = 4
"""Seconds of CPU for one file; the kernel ends the process within one more."""
READY = b"\n"
LENGTH_BYTES = 8
_PR_SET_PDEATHSIG = 1

Images = Mapping[PreprocessingSpec, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class DecodeOrder:
    """What to decode: a path that holds the file, and what it may cost."""

    path: str
    frame: int
    max_pixels: int
    at_least: tuple[int, int]
    specs: Sequence[PreprocessingSpec]
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Unforeseen:
    """An error that nobody foresaw: its kind and places, without its words."""

    kind: str
    places: Sequence[str]
    is_memory: bool


Decoded = tuple[Radiograph, Images] | ImageError | Unforeseen


def main() -> None:
    """Answer orders until there are no more."""
    die_with_parent(signal.SIGKILL)
    # A signal to the group is for the service, which finishes its work first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        # Where the container's memory runs out, the kernel ends this process and not the service.
        Path("/proc/self/oom_score_adj").write_text("1000")
    with os.fdopen(os.dup(1), "wb") as answers:
        # Native libraries write of what they meet in a file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        answers.write(READY)
        answers.flush()
        while True:
            try:
                order = pickle.load(sys.stdin.buffer)  # noqa: S301 - the service wrote it
            except EOFError:
                return
            answer = pickle.dumps(decode_file(order))
            answers.write(len(answer).to_bytes(LENGTH_BYTES, "little") + answer)
            answers.flush()


def die_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent ends. Source: prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def decode_file(order: DecodeOrder) -> Decoded:
    """What a file is, without its pixels, and its image in each size; or what is wrong with it."""
    _limit(order.memory_bytes)
    try:
        radiograph = decode(
            Path(order.path).read_bytes(),
            frame=order.frame,
            max_pixels=order.max_pixels,
            at_least=order.at_least,
        )
        images = {spec: preprocess(radiograph, spec) for spec in order.specs}
        return replace(radiograph, pixels=np.zeros((0, 0), np.uint8)), images
    except ImageError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs this file alone
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in frames]
        return Unforeseen(type(error).__name__, places, isinstance(error, MemoryError))
    finally:
        # What the C library keeps would count against the next file.
        ctypes.CDLL(None).malloc_trim(0)


def _limit(memory_bytes: int) -> None:
    """Set the limits of one file: CPU time is counted from the process's start, so they move."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for limit, soft in (
        (resource.RLIMIT_CPU, spent + 1 + CPU_S),
        (resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes),
    ):
        _, hard = resource.getrlimit(limit)
        most = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(limit, (most, hard))
