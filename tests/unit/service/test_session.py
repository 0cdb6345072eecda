import os
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from contract.errors import SignatureMismatch
from service.domain import CPU
from service.errors import StartError
from service.machine import Provider
from service.session import CUDA, OnnxSession
from tests.bundles import brightness_graph, make_manifest
from tests.sessions import REAL_SESSION, PretendsToBeCuda


def make_session(
    provider: Provider = "cpu", model: bytes | None = None, gpu_mem_limit_bytes: int = 0
) -> OnnxSession:
    graph = brightness_graph().SerializeToString() if model is None else model
    return OnnxSession(graph, make_manifest("sha256:" + 64 * "0"), provider, gpu_mem_limit_bytes)


@pytest.fixture
def built_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


def test_the_client_for_telemetry_is_off() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("model", [b"", brightness_graph().SerializeToString()[:200]])
def test_bytes_that_are_no_graph_are_refused(model: bytes) -> None:
    with pytest.raises(SignatureMismatch, match=r"tiny version 1: model\.onnx cannot be loaded"):
        make_session(model=model)


def test_a_graph_with_a_dtype_that_no_manifest_can_name_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["probabilities"])],
        "doubles",
        [helper.make_tensor_value_info("image", TensorProto.DOUBLE, ["batch"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["batch"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)

    with pytest.raises(SignatureMismatch, match=r"image has tensor\(double\)"):
        make_session(model=model.SerializeToString())


def test_weights_outside_of_the_digest_are_refused(tmp_path: Path) -> None:
    graph = brightness_graph()
    onnx.external_data_helper.convert_model_to_external_data(graph, size_threshold=0)
    onnx.save(graph, tmp_path / "model.onnx")

    with pytest.raises(SignatureMismatch, match="its digest does not cover"):
        make_session(model=(tmp_path / "model.onnx").read_bytes())


def test_cuda_is_refused_by_an_onnxruntime_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

    with pytest.raises(StartError, match="install onnxruntime-gpu instead"):
        make_session("cuda")


@pytest.mark.usefixtures("built_with_cuda")
@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in")
def test_a_provider_that_does_not_load_is_named_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StartError, match="cannot open shared object file") as refused:
        make_session("cuda")
    monkeypatch.setattr("ctypes.CDLL", lambda _: None)
    with pytest.raises(StartError, match="no GPU answers; see nvidia-smi"):
        make_session("cuda")

    assert "site-packages" not in str(refused.value)


@pytest.mark.usefixtures("built_with_cuda")
def test_a_session_that_cannot_even_be_made_on_cuda_goes_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails_on_cuda(
        model: bytes, tuning: object, providers: list[object], **options: object
    ) -> object:
        if providers != [CPU]:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return REAL_SESSION(model, tuning, providers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", fails_on_cuda)

    assert make_session("auto").provider == CPU


@pytest.mark.usefixtures("built_with_cuda")
def test_cuda_is_told_how_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendsToBeCuda)

    assert make_session("cuda", gpu_mem_limit_bytes=123456789).provider == CUDA
    assert PretendsToBeCuda.asked == [
        (
            CUDA,
            {
                "cudnn_conv_algo_search": "HEURISTIC",
                "use_tf32": "0",
                "gpu_mem_limit": "123456789",
                "arena_extend_strategy": "kSameAsRequested",
            },
        ),
        CPU,
    ]
