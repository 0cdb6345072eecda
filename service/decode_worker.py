"""What runs in a decoder: one file at a time, within limits that end the process where it overruns.

It imports ``contract`` alone, so that a decoder starts fast and is small.
"""

import ctypes
import os
import resource
import signal
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import Radiograph, decode
from service.errors import FileFailed, OutOfMemory

CPU_S = 4
"""Seconds of CPU for one file; the kernel ends the process within one more."""
_PR_SET_PDEATHSIG = 1
_NO_PIXELS = np.zeros((0, 0), np.uint8)

Images = Mapping[PreprocessingSpec, NDArray[np.uint8]]
Decoded = tuple[Radiograph, Images] | ImageError | FileFailed


@dataclass(frozen=True, slots=True)
class DecodeOrder:
    """What to decode: a path that holds the file, and what it may cost."""

    path: str
    frame: int
    max_pixels: int
    at_least: tuple[int, int]
    specs: Sequence[PreprocessingSpec]
    memory_bytes: int


def die_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent ends, however that ends.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def begin() -> None:
    """Prepare a new decoder: no core file, no words, and no life beyond its parent's."""
    die_with_parent(signal.SIGKILL)
    # Native libraries write of what they meet in a file.
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.close(silence)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode_file(order: DecodeOrder) -> Decoded:
    """Decode a file and fit it to the sizes that models take.

    Returns:
        What the file is, without its pixels, and the image in each size; or what is wrong. What is
        unforeseen comes without its message, which may quote the file.
    """
    _limit(order.memory_bytes)
    try:
        radiograph = decode(
            Path(order.path).read_bytes(),
            frame=order.frame,
            max_pixels=order.max_pixels,
            at_least=order.at_least,
        )
        images = {spec: preprocess(radiograph, spec) for spec in order.specs}
        return replace(radiograph, pixels=_NO_PIXELS), images
    except ImageError as error:
        return error.with_traceback(None)
    except MemoryError as error:
        return OutOfMemory("", "MemoryError", _places(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs this file alone
        return FileFailed("The file could not be read.", type(error).__name__, _places(error))
    finally:
        # What the C library keeps would count against the next file.
        ctypes.CDLL(None).malloc_trim(0)


def _limit(memory_bytes: int) -> None:
    """Set the limits of one file: CPU time is counted from the process's start, so they move."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    _set(resource.RLIMIT_CPU, spent + 1 + CPU_S)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _set(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)


def _set(limit: int, soft: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(limit, (soft, hard))


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in frames]
