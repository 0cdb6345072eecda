"""A model that runs: ONNX Runtime behind a protocol, and the proof of where it runs.

This is the only file that imports ONNX Runtime, and the only one that translates its errors.
"""

import contextlib
import ctypes
import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.errors import SignatureMismatch
from contract.manifest import (
    OOD_SCORE,
    SOURCE_DISTANCE,
    ModelManifest,
    Precision,
    SegmenterManifest,
    TensorSpec,
)
from service.errors import DeviceLost, InferenceFailed, ProviderUnavailable
from service.settings import Provider

# ONNX Runtime carries a telemetry client, which a hospital's network must never see.
# It reads this variable when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
QUALITY = "quality"
_MEASURED = {OOD_SCORE, QUALITY, SOURCE_DISTANCE}
_LOG_FATAL, _LOG_ERROR = 4, 3
# ONNX Runtime's exceptions have no base of their own.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(
        kind
        for kind in vars(ort).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
# How a tensor names the file that has its data: `key: "location"` of StringStringEntryProto.
_EXTERNAL = b"\x0a\x08location"
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a model says of a batch, all float32; None is what was not asked for or is not known.

    ``probabilities`` (batch, classes), calibrated, 0 to 1; ``activation_map`` (batch, height,
    width, classes), positive where a place speaks for a class; ``ood_scores`` (batch,), larger for
    what is less like the training images; ``logits`` (batch, classes); ``quality`` (batch,
    measures); ``source_distances`` (batch, sources), as shares of each source's limit.
    """

    probabilities: NDArray[np.float32]
    activation_map: NDArray[np.float32] | None
    ood_scores: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    quality: NDArray[np.float32] | None = None
    source_distances: NDArray[np.float32] | None = None

    def of(self, index: int) -> "ModelOutput":
        """What the model says of one image of the batch: the same arrays, of batch size 1."""
        part = slice(index, index + 1)
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: a[part] for name, a in arrays.items() if a is not None})


class InferenceSession(Protocol):
    """A loaded model. ``run`` may be called from several threads at once."""

    @property
    def provider(self) -> str:
        """The execution provider that the model really runs on."""
        ...

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        """Run a batch, uint8 (batch, height, width, 1), 0 black to 255 white.

        Raises:
            InferenceFailed: The model did not run.
            DeviceLost: The accelerator does not run any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model, ready to run.

    ``lone`` is the same graph with every core for one image, where the model runs on the CPU: used
    while no other image is in work. It answers bit for bit as ``session`` does.
    """

    manifest: ModelManifest
    session: InferenceSession
    precision: Precision = "fp32"
    lone: InferenceSession | None = None

    @property
    def digest(self) -> str:
        """That of the file that runs."""
        return self.manifest.digests[self.precision]

    @property
    def batched(self) -> bool:
        """Whether its images wait for the accelerator, which runs them in batches."""
        return self.session.provider != CPU

    @property
    def bundle(self) -> str:
        """Where it lies in the models folder, ``<name>/<version>``."""
        return f"{self.manifest.name}/{self.manifest.version}"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a model is run; ``threads`` are those within one run on a CPU."""

    provider: Provider = "auto"
    threads: int = 1
    gpu_mem_limit_bytes: int = 4096 * 1024 * 1024


class OnnxGraph:
    """An ONNX graph in ONNX Runtime, checked against its manifest.

    Raises:
        ProviderUnavailable: ``cuda`` is asked for, and the graph does not run there.
        SignatureMismatch: The bytes are no graph, or not the one that the manifest describes.
    """

    def __init__(
        self, model: bytes, manifest: ModelManifest | SegmenterManifest, options: SessionOptions
    ) -> None:
        self._session = _create(model, manifest, options)
        self.provider = str(self._session.get_providers()[0])
        manifest.check_signature(
            map(_tensor, self._session.get_inputs()), map(_tensor, self._session.get_outputs())
        )

    def run(
        self, outputs: Sequence[str], images: NDArray[np.uint8]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Run a batch, uint8 (batch, height, width, 1), 0 black to 255 white, for these outputs.

        Raises:
            InferenceFailed: The graph did not run.
            DeviceLost: The graph ran on an accelerator, which failed.
        """
        try:
            arrays = self._session.run(outputs, {"image": images})
        except _ERRORS as error:
            if self.provider == CPU:
                raise InferenceFailed("The model did not run.") from error
            raise DeviceLost("The accelerator does not answer.") from error
        return dict(zip(outputs, arrays, strict=True))


class OnnxSession:
    """A classifier's graph in ONNX Runtime; raises what ``OnnxGraph`` does."""

    def __init__(self, model: bytes, manifest: ModelManifest, options: SessionOptions) -> None:
        self._graph = OnnxGraph(model, manifest, options)
        self.provider = self._graph.provider
        given = {output.name for output in manifest.signature.outputs}
        # The logits are computed in any case; to hand them out takes a few microseconds.
        self._outputs = ("probabilities", "logits", *sorted(given & _MEASURED))

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        """Run a batch, as the protocol says."""
        names = (*self._outputs, "activation_map") if activation_map else self._outputs
        outputs = self._graph.run(names, images)
        return ModelOutput(
            outputs["probabilities"],
            outputs.get("activation_map"),
            outputs.get(OOD_SCORE),
            outputs["logits"],
            outputs.get(QUALITY),
            outputs.get(SOURCE_DISTANCE),
        )


def _create(
    model: bytes, manifest: ModelManifest | SegmenterManifest, options: SessionOptions
) -> onnxruntime.InferenceSession:
    if _EXTERNAL in model:
        raise SignatureMismatch(
            f"{manifest.name} version {manifest.version}: model.onnx keeps weights in another "
            "file, which its digest does not cover. Export the model again, in one file."
        )
    try:
        if options.provider != "cpu" and has_cuda():
            session = _cuda_session(model, options)
            if session is not None:
                return session
        if options.provider == "cuda":
            raise ProviderUnavailable(f"The model cannot run on CUDA: {why_no_cuda()}.")
        return _session(model, [CPU], options)
    except _ERRORS as error:
        raise SignatureMismatch(
            f"{manifest.name} version {manifest.version}: model.onnx cannot be loaded. "
            "Export the model again."
        ) from error


def _cuda_session(model: bytes, options: SessionOptions) -> onnxruntime.InferenceSession | None:
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
        "gpu_mem_limit": str(options.gpu_mem_limit_bytes),
        "arena_extend_strategy": "kSameAsRequested",
    }
    try:
        session = _session(model, [(CUDA, cuda), CPU], options)
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


def _session(
    model: bytes, providers: list[Any], options: SessionOptions
) -> onnxruntime.InferenceSession:
    tuning = onnxruntime.SessionOptions()
    tuning.intra_op_num_threads = options.threads
    tuning.inter_op_num_threads = 1
    # Threads that wait for work must not take a core from another image's thread.
    tuning.add_session_config_entry("session.intra_op.allow_spinning", "0")
    _share_one_arena()
    tuning.add_session_config_entry("session.use_env_allocators", "1")
    tuning.log_severity_level = _LOG_ERROR
    # The fallback would turn a lost GPU into a slow CPU without a word.
    return onnxruntime.InferenceSession(model, tuning, providers, enable_fallback=False)


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
    spec = importlib.util.find_spec("onnxruntime")
    folder = Path(str(spec.origin if spec else "")).parent / "capi"
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
