"""ONNX Runtime as every peer and the in-process limit use it, and the one way to read an image."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import NoModelUnderTest
from bench.results import Provider
from contract.manifest import MODEL_FILE
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode

# Read when the library is imported; no benchmark has a reason to call home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

CUDA = "CUDAExecutionProvider"
# The settings that the service itself uses: no search of a second for every new shape, and answers
# that agree with the CPU's.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}


def open_session(
    bundle: Path, provider: Provider, intra_op_threads: int
) -> onnxruntime.InferenceSession:
    """Load a bundle's graph.

    Args:
        bundle: The folder that holds model.onnx.
        provider: Where to run it.
        intra_op_threads: Threads within one run; 0 leaves ONNX Runtime its default, all cores.

    Raises:
        NoModelUnderTest: It does not run on the GPU that was asked for.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.log_severity_level = 3
    providers: list[object] = ["CPUExecutionProvider"]
    if provider == "cuda":
        onnxruntime.preload_dlls()
        providers.insert(0, (CUDA, _CUDA_OPTIONS))
    session = onnxruntime.InferenceSession(bundle / MODEL_FILE, options, providers)
    if provider == "cuda" and session.get_providers()[0] != CUDA:
        raise NoModelUnderTest("The model does not run on CUDA here; see `pneumo-serve check`.")
    return session


def run(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """From uint8 (batch, height, width, 1) to probabilities, float32 (batch, classes)."""
    probabilities: NDArray[np.float32] = session.run(["probabilities"], {"image": images})[0]
    return probabilities


def read_image(data: bytes, spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Decode and resize a file, uint8 (height, width, 1), with the functions that the service uses.

    Every peer gets them, so that no server wins or loses by its decoder.
    """
    return preprocess(decode(data, at_least=spec.size), spec)
