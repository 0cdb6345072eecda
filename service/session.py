"""A model that runs: ONNX Runtime, and the proof of where it runs.

This is the only file that imports ONNX Runtime, and the only one that translates its errors.
"""

import contextlib
import ctypes
import io
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import SignatureMismatch
from contract.manifest import ModelManifest, SegmenterManifest, TensorSpec
from service.domain import CPU, Outputs
from service.errors import DeviceLost, InferenceFailed, StartError
from service.machine import Provider

# ONNX Runtime carries a telemetry client, which a hospital's network must never see.
# It reads this variable when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

CUDA = "CUDAExecutionProvider"
_LOG_FATAL, _LOG_ERROR = 4, 3
# ONNX Runtime's exceptions have no base of their own.
_KINDS = [kind for kind in vars(ort).values() if isinstance(kind, type)]
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(kind for kind in _KINDS if issubclass(kind, Exception)),
)
# How a tensor names the file that has its data: `key: "location"` of StringStringEntryProto.
_EXTERNAL = b"\x0a\x08location"
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class OnnxSession:
    """An ONNX graph in ONNX Runtime, checked against its manifest.

    ``gpu_mem_limit_bytes`` is the most that its arena on a GPU may grow to.

    Raises:
        StartError: ``cuda`` is asked for, and the graph does not run there.
        SignatureMismatch: The bytes are no graph, or not the one that the manifest describes.
    """

    def __init__(
        self,
        model: bytes,
        manifest: ModelManifest | SegmenterManifest,
        provider: Provider,
        gpu_mem_limit_bytes: int,
    ) -> None:
        name = f"{manifest.name} version {manifest.version}"
        if _EXTERNAL in model:
            raise SignatureMismatch(
                f"{name}: model.onnx keeps weights in another file, which its digest does not "
                "cover. Export the model again, in one file."
            )
        try:
            self._session = _create(model, provider, gpu_mem_limit_bytes)
        except _ERRORS as error:
            raise SignatureMismatch(
                f"{name}: model.onnx cannot be loaded. Export the model again."
            ) from error
        self.provider = str(self._session.get_providers()[0])
        manifest.check_signature(
            map(_tensor, self._session.get_inputs()), map(_tensor, self._session.get_outputs())
        )

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        """Run a batch, as the protocol says."""
        try:
            arrays = self._session.run(outputs, {"image": images})
        except _ERRORS as error:
            if self.provider == CPU:
                raise InferenceFailed from error
            raise DeviceLost from error
        return dict(zip(outputs, arrays, strict=True))


def _create(
    model: bytes, provider: Provider, gpu_mem_limit_bytes: int
) -> onnxruntime.InferenceSession:
    if provider != "cpu" and has_cuda():
        session = _cuda_session(model, gpu_mem_limit_bytes)
        if session is not None:
            return session
    if provider == "cuda":
        raise StartError(f"The model cannot run on CUDA: {why_no_cuda()}.")
    return _session(model, [CPU])


def _cuda_session(model: bytes, gpu_mem_limit_bytes: int) -> onnxruntime.InferenceSession | None:
    """A session that truly runs on CUDA, or None."""
    # It prints what it misses; `why_no_cuda` says the same in one line.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
    onnxruntime.set_default_logger_severity(_LOG_FATAL)
    cuda = {
        # EXHAUSTIVE, the default, costs up to a second for every new shape.
        "cudnn_conv_algo_search": "HEURISTIC",
        # TF32 would move probabilities by 1e-3 against the CPU and against the manifest's metrics.
        "use_tf32": "0",
        "gpu_mem_limit": str(gpu_mem_limit_bytes),
        "arena_extend_strategy": "kSameAsRequested",
    }
    try:
        session = _session(model, [(CUDA, cuda), CPU])
    except _ERRORS:
        return None
    finally:
        onnxruntime.set_default_logger_severity(_LOG_ERROR)
    return session if session.get_providers()[0] == CUDA else None


@cache
def _share_one_arena() -> None:
    """Have all sessions on the CPU take their memory from one arena, in place of one for each."""
    kind, memory = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    info = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, memory)
    onnxruntime.create_and_register_allocator(info, None)


def _session(model: bytes, providers: list[Any]) -> onnxruntime.InferenceSession:
    tuning = onnxruntime.SessionOptions()
    # Each image has a thread of its own: more of them would share a core.
    tuning.intra_op_num_threads = tuning.inter_op_num_threads = 1
    _share_one_arena()
    tuning.add_session_config_entry("session.use_env_allocators", "1")
    tuning.log_severity_level = _LOG_ERROR
    # The fallback would turn a lost GPU into a slow CPU without a word.
    session = onnxruntime.InferenceSession(model, tuning, providers, enable_fallback=False)
    # For that fallback alone it would keep the file, as large as all its weights.
    session._model_bytes = None
    return session


def has_cuda() -> bool:
    """Whether this ONNX Runtime was built with CUDA, which says nothing of whether it loads."""
    return CUDA in onnxruntime.get_available_providers()


def why_no_cuda() -> str:
    """Find out what the CUDA provider lacks, by loading its library.

    To be called only after a session could not be made on CUDA: loaded before that, the library
    would bind to a host interface that is not there yet, and crash the process on its first use.
    """
    if not has_cuda():
        return "this onnxruntime was built without it; install onnxruntime-gpu instead"
    folder = Path(onnxruntime.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return str(error).replace(f"{folder}{os.sep}", "")
    return "its libraries load, but no GPU answers; see nvidia-smi"


def _tensor(argument: Any) -> TensorSpec:  # noqa: ANN401
    # A dtype that the manifest cannot name can never match it.
    dtype = _DTYPES.get(argument.type)
    if dtype is None:
        raise SignatureMismatch(f"{argument.name} has {argument.type}, which no model may have.")
    return TensorSpec.model_validate(
        {"name": argument.name, "dtype": dtype, "shape": tuple(argument.shape)}
    )
