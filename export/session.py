"""Running a bundle's graph offline, on the CPU."""

import statistics
import time
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

WARM_UP_RUNS, TIMED_RUNS = 5, 100


def open_session(model: bytes, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A CPU session on a model.onnx; where ``threads`` is None, the runtime chooses how many."""
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_in_batches(
    session: onnxruntime.InferenceSession, images: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """Every output of the graph for many images, uint8, shape (n, height, width, 1)."""
    names = [output.name for output in session.get_outputs()]
    batches = [session.run(names, {"image": images[n : n + 32]}) for n in range(0, len(images), 32)]
    return {name: np.concatenate([batch[i] for batch in batches]) for i, name in enumerate(names)}


def cpu_ms(
    sessions: Sequence[onnxruntime.InferenceSession], image: NDArray[np.uint8]
) -> list[float]:
    """The median CPU time of each one-threaded session, all in turns, in milliseconds.

    It is the thread's own time: what else the machine does meanwhile does not count.
    ``image``: uint8, shape (1, height, width, 1).
    """
    # What a request without a heatmap asks for.
    asked = [[o.name for o in s.get_outputs() if o.name != "activation_map"] for s in sessions]
    times_ms: list[list[float]] = []
    for _ in range(WARM_UP_RUNS + TIMED_RUNS):
        times_ms.append([])
        for session, names in zip(sessions, asked, strict=True):
            began = time.thread_time()
            session.run(names, {"image": image})
            times_ms[-1].append((time.thread_time() - began) * 1000)
    return [statistics.median(column) for column in zip(*times_ms[WARM_UP_RUNS:], strict=True)]
