import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from contract.errors import SignatureMismatch
from contract.manifest import ModelManifest
from service.domain import CPU, Outputs, ServedModel
from service.errors import DeviceLost, InferenceFailed, StartError
from service.machine import Provider
from service.session import CUDA, OnnxSession
from tests.bundles import (
    brightness_graph,
    expected_pneumonia,
    make_manifest,
    write_fragile_bundle,
)
from tests.gated_session import REAL_SESSION, PretendsToBeCuda

MANIFEST = make_manifest("sha256:" + 64 * "0")


def make_session(
    model: bytes | None = None,
    manifest: ModelManifest = MANIFEST,
    provider: Provider = "cpu",
    gpu_mem_limit_bytes: int = 0,
) -> OnnxSession:
    graph = model or brightness_graph().SerializeToString()
    return OnnxSession(graph, manifest, provider, gpu_mem_limit_bytes)


PROBABILITIES = ("probabilities",)


def run(session: OnnxSession, images: NDArray[np.uint8], **asked: bool) -> Outputs:
    return ServedModel(MANIFEST, session).run(images, **asked)


def fragile_model(folder: Path) -> bytes:
    return (write_fragile_bundle(folder) / "model.onnx").read_bytes()


def compiled_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


def test_a_batch_is_run_for_the_activation_map_only_where_it_is_asked_for() -> None:
    images = np.stack([np.full((32, 32, 1), value, np.uint8) for value in (0, 120, 255)])

    outputs = run(make_session(), images, activation_map=True)
    without = run(make_session(), images)

    assert outputs["probabilities"].dtype == np.float32
    assert outputs["probabilities"][:, 1] == pytest.approx(
        [expected_pneumonia(image) for image in images], abs=1e-6
    )
    assert outputs["activation_map"].shape == (3, 4, 4, 2)
    assert set(without) == {"probabilities", "logits"}


def test_the_ood_score_comes_where_the_model_has_one() -> None:
    images = np.zeros((2, 32, 32, 1), np.uint8)
    images[1, 0, 0] = 200
    manifest = make_manifest("sha256:" + 64 * "0", ood_limit=100)
    session = make_session(brightness_graph(ood_score=True).SerializeToString(), manifest)

    outputs = ServedModel(manifest, session).run(images)

    assert outputs["ood_score"].tolist() == [0, 200]
    assert outputs["probabilities"].shape == (2, 2)


def test_the_client_for_telemetry_is_off() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("model", [b"", b"no graph", brightness_graph().SerializeToString()[:200]])
def test_bytes_that_are_no_graph_are_refused(model: bytes) -> None:
    with pytest.raises(SignatureMismatch, match=r"tiny version 1: model\.onnx cannot be loaded"):
        OnnxSession(model, MANIFEST, "cpu", gpu_mem_limit_bytes=0)


def test_a_graph_with_a_dtype_that_no_manifest_can_name_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["probabilities"])],
        "doubles",
        [helper.make_tensor_value_info("image", TensorProto.DOUBLE, ["batch"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["batch"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)

    with pytest.raises(SignatureMismatch, match=r"image has tensor\(double\)"):
        make_session(model.SerializeToString())


def test_a_graph_that_fails_says_so_and_runs_again(tmp_path: Path) -> None:
    session = make_session(fragile_model(tmp_path))

    with pytest.raises(InferenceFailed, match="The model did not run"):
        session.run(PROBABILITIES, np.full((1, 32, 32, 1), 255, np.uint8))

    assert run(session, np.zeros((1, 32, 32, 1), np.uint8))["probabilities"].shape == (1, 2)


def test_auto_takes_the_cpu_where_there_is_no_gpu() -> None:
    assert make_session(provider="auto").provider == CPU


def test_cuda_is_refused_by_an_onnxruntime_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

    with pytest.raises(StartError, match="install onnxruntime-gpu instead"):
        make_session(provider="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in")
def test_a_provider_that_is_listed_but_does_not_load_is_named_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled_with_cuda(monkeypatch)

    with pytest.raises(StartError, match="cannot open shared object file") as refused:
        make_session(provider="cuda")

    assert "site-packages" not in str(refused.value)
    assert make_session(provider="auto").provider == CPU


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in")
def test_libraries_that_load_without_a_gpu_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_with_cuda(monkeypatch)
    monkeypatch.setattr("ctypes.CDLL", lambda _: None)

    with pytest.raises(StartError, match="no GPU answers; see nvidia-smi"):
        make_session(provider="cuda")


def test_a_session_that_cannot_even_be_made_on_cuda_goes_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled_with_cuda(monkeypatch)

    def fails_on_cuda(
        model: bytes, tuning: object, providers: list[object], **options: object
    ) -> object:
        if providers != [CPU]:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return REAL_SESSION(model, tuning, providers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", fails_on_cuda)

    assert make_session(provider="auto").provider == CPU


@pytest.fixture
def on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendsToBeCuda)
    compiled_with_cuda(monkeypatch)


@pytest.mark.usefixtures("on_cuda")
def test_cuda_is_told_how_to_compute() -> None:
    session = make_session(provider="cuda", gpu_mem_limit_bytes=123456789)

    assert session.provider == CUDA
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


@pytest.mark.usefixtures("on_cuda")
def test_a_failure_on_an_accelerator_is_a_lost_device(tmp_path: Path) -> None:
    session = make_session(fragile_model(tmp_path), provider="cuda")

    with pytest.raises(DeviceLost):
        session.run(PROBABILITIES, np.full((1, 32, 32, 1), 255, np.uint8))


def test_weights_outside_of_the_digest_are_refused(tmp_path: Path) -> None:
    graph = brightness_graph()
    onnx.external_data_helper.convert_model_to_external_data(graph, size_threshold=0)
    onnx.save(graph, tmp_path / "model.onnx")

    with pytest.raises(SignatureMismatch, match="its digest does not cover"):
        make_session((tmp_path / "model.onnx").read_bytes())
