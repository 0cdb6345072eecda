from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2

from contract.manifest import MODEL_FILE
from export.graph import tensor_specs
from export.store import write_bundle as write_exported
from export.triton import (
    CONFIG_FILE,
    MAX_BATCH_SIZE,
    newest_version,
    triton_config,
    write_triton_config,
)
from service.runtime import open_repository
from service.settings import Settings
from tests.bundles import make_manifest, write_bundle

MODELS = Path(__file__).resolve().parents[3] / "models"
SHIPPED = sorted(folder.name for folder in MODELS.iterdir() if newest_version(folder))
DIGEST = "sha256:" + 64 * "0"
DTYPES = {"TYPE_UINT8": "uint8", "TYPE_FP32": "float32"}


def parse(text: str) -> Message:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def described(tensors: Message) -> set[tuple[str, str, tuple[int, ...]]]:
    """Name, dtype and the shape that the graph gets, without its batch axis."""
    types = model_config_pb2.DataType
    return {
        (
            tensor.name,
            DTYPES[types.Name(tensor.data_type)],
            tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims),
        )
        for tensor in tensors
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_described_as_its_graph_is(name: str) -> None:
    bundle = newest_version(MODELS / name)
    assert bundle is not None
    graph = onnx.load(bundle / MODEL_FILE).graph

    config = parse((MODELS / name / CONFIG_FILE).read_text())

    assert (config.name, config.platform) == (name, "onnxruntime_onnx")
    assert config.max_batch_size == MAX_BATCH_SIZE
    for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
        specs = tensor_specs(values)
        assert described(tensors) == {(s.name, s.dtype, s.shape[1:]) for s in specs}
        assert {spec.shape[0] for spec in specs} == {"batch"}


def test_every_tensor_has_a_dimension_for_triton() -> None:
    manifest = make_manifest(DIGEST, ood_limit=1.0)

    config = parse(triton_config("tiny", manifest.signature))

    [score] = [output for output in config.output if output.name == "ood_score"]
    assert list(score.dims) == [1]
    assert score.HasField("reshape")
    assert not score.reshape.shape
    assert all(tensor.dims for tensor in (*config.input, *config.output))


def test_batches_and_priorities_are_those_of_the_service() -> None:
    config = parse(triton_config("tiny", make_manifest(DIGEST).signature))

    batching = config.dynamic_batching
    assert max(batching.preferred_batch_size) <= config.max_batch_size
    assert (batching.priority_levels, batching.default_priority_level) == (2, 2)
    assert config.version_policy.latest.num_versions == 1


def test_the_newest_version_is_described_whichever_was_written_last(tmp_path: Path) -> None:
    for version, size in ((9, 16), (11, 64), (10, 32)):
        write_exported(tmp_path, make_manifest(DIGEST, "tiny", version, size), b"a graph")

    [image] = parse((tmp_path / "tiny" / CONFIG_FILE).read_text()).input
    assert list(image.dims) == [64, 64, 1]


def test_the_service_does_not_mind_the_file(tmp_path: Path) -> None:
    write_triton_config(write_bundle(tmp_path), make_manifest(DIGEST).signature)

    assert (tmp_path / "tiny" / CONFIG_FILE).is_file()
    repository = open_repository(Settings(models_dir=tmp_path))

    assert [model.manifest.name for model in repository.all()] == ["tiny"]
