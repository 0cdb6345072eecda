from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from contract.manifest import Signature, classifier_signature
from contract.preprocessing import PreprocessingSpec
from export.convert import convert, measure_parity
from export.errors import ConversionError, ParityError
from export.graph import check_graph, tensor_specs
from export.session import open_session, run_in_batches


def images(count: int) -> np.typing.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 1), dtype=np.uint8)


def test_the_graph_has_the_promised_inputs_and_outputs(
    graph: onnx.ModelProto, signature: Signature
) -> None:
    assert tensor_specs(graph.graph.input) == signature.inputs
    assert set(tensor_specs(graph.graph.output)) == set(signature.outputs)


def test_the_batch_axis_is_named(graph: onnx.ModelProto) -> None:
    values = (*graph.graph.input, *graph.graph.output)

    assert {v.type.tensor_type.shape.dim[0].dim_param for v in values} == {"batch"}


def test_at_most_two_transposes_are_left(graph: onnx.ModelProto) -> None:
    assert sum(node.op_type == "Transpose" for node in graph.graph.node) <= 2


def test_an_unpromised_output_is_refused(serving_model: keras.Model, signature: Signature) -> None:
    three_classes = classifier_signature(PreprocessingSpec(height=64, width=64), 3, (4, 4))

    with pytest.raises(ConversionError, match="were promised"):
        convert(serving_model, three_classes)


def test_keras_and_onnx_runtime_agree(serving_model: keras.Model, graph: onnx.ModelProto) -> None:
    parity = measure_parity(serving_model, open_session(graph.SerializeToString()), images(40))

    assert parity.images == 40
    assert parity.max_probability_difference <= parity.tolerance


def test_any_batch_size_gives_the_same_answer(graph: onnx.ModelProto) -> None:
    session = open_session(graph.SerializeToString())
    batch = images(5)

    together = run_in_batches(session, batch)["probabilities"]
    apart = np.concatenate([run_in_batches(session, batch[[i]])["probabilities"] for i in range(5)])

    np.testing.assert_allclose(together, apart, atol=1e-6)


def test_a_graph_with_other_weights_is_refused(
    serving_model: keras.Model, graph: onnx.ModelProto
) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    kernel = next(t for t in other.graph.initializer if len(t.dims) == 4)
    changed = onnx.numpy_helper.to_array(kernel) * 1.05
    kernel.CopyFrom(onnx.numpy_helper.from_array(changed, kernel.name))

    with pytest.raises(ParityError, match="Nothing was written"):
        measure_parity(serving_model, open_session(other.SerializeToString()), images(8))


def test_a_graph_that_lost_an_output_is_refused(
    serving_model: keras.Model, graph: onnx.ModelProto
) -> None:
    fewer = onnx.ModelProto()
    fewer.CopyFrom(graph)
    [logits] = [output for output in fewer.graph.output if output.name == "logits"]
    fewer.graph.output.remove(logits)

    with pytest.raises(ParityError, match="logits"):
        measure_parity(serving_model, open_session(fewer.SerializeToString()), images(2))


def test_too_many_transposes_are_refused(graph: onnx.ModelProto, signature: Signature) -> None:
    slow = onnx.ModelProto()
    slow.CopyFrom(graph)
    node = next(node for node in slow.graph.node if node.op_type == "Transpose")
    slow.graph.node.extend([node, node])

    with pytest.raises(ConversionError, match="Transpose nodes"):
        check_graph(slow, signature)


def test_a_failure_of_tf2onnx_is_told_with_its_last_words(signature: Signature) -> None:
    class Unsaved:
        def export(self, folder: Path, **_: object) -> None:
            folder.mkdir()

    with pytest.raises(ConversionError, match="tf2onnx failed"):
        convert(Unsaved(), signature)
