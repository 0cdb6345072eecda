"""The in-process limit: decode, resize and run on all cores, with no HTTP and no client.

No server on the same machine can be faster. It is measured in a process of its own, whose threads
are gone when a server is measured.
"""

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from pydantic import BaseModel

from contract.manifest import read_manifest
from contract.preprocessing import preprocess
from contract.radiograph import decode
from export.session import open_session


class Limit(BaseModel):
    """Rates on all cores, in images per second; ``cpu_ms`` is CPU time per image.

    ``alone_ms`` is the median time of one image after another, ``decode_ms`` that of decode and
    resize alone. ``probabilities`` are the answers for the images, in their order.
    """

    per_s: float
    cpu_ms: float
    alone_ms: float
    decode_ms: float
    probabilities: tuple[tuple[float, ...], ...]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def measure_limit(bundle: Path, file: str, images: Sequence[bytes], seconds: float) -> Limit:
    """Measure the limit of one graph of a bundle, with whole files; each part takes so long."""
    spec = read_manifest(bundle).preprocessing
    graph = (bundle / file).read_bytes()
    one, all_cores = (open_session(graph, threads) for threads in (1, cores()))

    def read(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return preprocess(decode(data, at_least=spec.size), spec)[np.newaxis]

    def answer(data: bytes, session: InferenceSession = one) -> list[float]:
        row: list[float] = session.run(["probabilities"], {"image": read(data)})[0][0].tolist()
        return row

    per_s, cpu_ms = _rate(answer, images, seconds)
    alone = (partial(answer, session=session) for session in (one, all_cores))
    return Limit(
        per_s=per_s,
        cpu_ms=cpu_ms,
        alone_ms=min(_median_ms(work, images, seconds / 2) for work in alone),
        decode_ms=_median_ms(read, images, seconds / 2),
        probabilities=tuple(tuple(answer(data)) for data in images),
    )


def _rate(
    work: Callable[[bytes], object], images: Sequence[bytes], seconds: float
) -> tuple[float, float]:
    """Have a thread for each core work for a time; per second, and milliseconds of CPU each."""
    turns, stopped = itertools.cycle(images), threading.Event()

    def loop() -> int:
        finished = 0
        while not stopped.is_set():
            work(next(turns))
            finished += 1
        return finished

    work(images[0])
    with ThreadPoolExecutor(cores()) as pool:
        began, cpu_began = time.perf_counter(), time.process_time()
        loops = [pool.submit(loop) for _ in range(cores())]
        time.sleep(seconds)
        stopped.set()
        done = sum(future.result() for future in loops)
    elapsed, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return done / elapsed, cpu_s * 1000 / done


def _median_ms(work: Callable[[bytes], object], images: Sequence[bytes], seconds: float) -> float:
    times_ms: list[float] = []
    deadline = time.perf_counter() + seconds
    for data in itertools.cycle(images):
        began = time.perf_counter()
        work(data)
        times_ms.append((time.perf_counter() - began) * 1000)
        if time.perf_counter() > deadline:
            return statistics.median(times_ms)
    raise ValueError("there are no images")
