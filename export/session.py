"""Running a bundle's graph offline, on the CPU."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_BATCH = 32


def open_session(model: bytes, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A CPU session on the bytes of a model.onnx.

    Args:
        model: The bytes.
        threads: How many one run may use; the runtime's own choice where None.
    """
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_in_batches(
    session: onnxruntime.InferenceSession, images: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """Every output of the graph for many images, uint8, shape (n, height, width, 1)."""
    names = [output.name for output in session.get_outputs()]
    batches = [
        session.run(names, {"image": images[start : start + _BATCH]})
        for start in range(0, len(images), _BATCH)
    ]
    return {name: np.concatenate([batch[i] for batch in batches]) for i, name in enumerate(names)}
