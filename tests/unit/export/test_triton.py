import json
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2

from contract.manifest import MANIFEST_FILE, MODEL_FILE, Signature
from export.graph import tensor_specs
from export.store import next_version, write_bundle
from export.triton import CONFIG_FILE, MAX_BATCH_SIZE, newest_version, triton_config
from tests.bundles import make_manifest

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
    text = (MODELS / name / CONFIG_FILE).read_text()

    config = parse(text)

    signature = json.loads((bundle / MANIFEST_FILE).read_text())["signature"]
    assert text == triton_config(name, Signature.model_validate(signature))
    assert (config.name, config.platform) == (name, "onnxruntime_onnx")
    for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
        specs = tensor_specs(values)
        assert described(tensors) == {(s.name, s.dtype, s.shape[1:]) for s in specs}
        assert {spec.shape[0] for spec in specs} == {"batch"}
        # Triton wants a dimension of every tensor.
        assert all(tensor.dims for tensor in tensors)
    # Batches and priorities are those of the service.
    batching = config.dynamic_batching
    assert max(batching.preferred_batch_size) <= config.max_batch_size == MAX_BATCH_SIZE
    assert (batching.priority_levels, batching.default_priority_level) == (2, 2)
    assert config.version_policy.latest.num_versions == 1


def test_the_newest_version_is_described_whichever_was_written_last(tmp_path: Path) -> None:
    for version, size in ((9, 16), (11, 64), (10, 32)):
        write_bundle(tmp_path, make_manifest(DIGEST, "tiny", version, size), b"a graph")

    [image] = parse((tmp_path / "tiny" / CONFIG_FILE).read_text()).input
    assert list(image.dims) == [64, 64, 1]
    assert (next_version(tmp_path, "tiny"), next_version(tmp_path, "other")) == (12, 1)
