from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from contract.manifest import OOD_SCORE, Signature, classifier_signature
from contract.preprocessing import PreprocessingSpec
from export.convert import convert, measure_parity
from export.errors import ConversionError, ParityError
from export.graph import check_graph
from export.session import open_session, run_in_batches
from tests.synthetic import synthetic_radiograph
from training.config import CalibrationConfig, read_recipe
from training.models import build_classifier, feature_model, with_serving_outputs
from training.ood import fit_scorer

SPEC = PreprocessingSpec(height=64, width=64)
NOISE = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 1), dtype=np.uint8)


def radiographs(count: int) -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(64, 64, n % 2, seed=n) for n in range(count)]
    return np.stack(planes)[..., np.newaxis]


@pytest.fixture(scope="module")
def serving_model() -> keras.Model:
    recipe = read_recipe("xray-pneumonia")
    small = recipe.model.model_copy(update={"width": 4})
    plain = CalibrationConfig(shifts=("none",))
    recipe = recipe.model_copy(update={"preprocessing": SPEC, "model": small, "calibration": plain})
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe)
    scorer = fit_scorer(feature_model(model), radiographs(140), recipe)
    return with_serving_outputs(model, 1.5, scorer)


@pytest.fixture(scope="module")
def signature(serving_model: keras.Model) -> Signature:
    map_size = serving_model.output["activation_map"].shape[1:3]
    return classifier_signature(SPEC, 2, map_size, ood_score=True)


@pytest.fixture(scope="module")
def graph(serving_model: keras.Model, signature: Signature) -> onnx.ModelProto:
    return convert(serving_model, signature)


def copied(graph: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.load_from_string(graph.SerializeToString())


def test_an_unpromised_output_is_refused(serving_model: keras.Model) -> None:
    three_classes = classifier_signature(SPEC, 3, (4, 4))

    with pytest.raises(ConversionError, match="were promised"):
        convert(serving_model, three_classes)


def test_a_graph_answers_as_keras_whatever_the_size_of_a_batch(
    serving_model: keras.Model, graph: onnx.ModelProto
) -> None:
    session = open_session(graph.SerializeToString())
    images = np.concatenate([radiographs(20), NOISE, np.zeros_like(NOISE[:1])])

    found = run_in_batches(session, images)

    for number in range(20, 25):
        alone = run_in_batches(session, images[[number]])
        np.testing.assert_allclose(alone["probabilities"], found["probabilities"][[number]], 1e-5)
        np.testing.assert_allclose(alone[OOD_SCORE], found[OOD_SCORE][[number]], 1e-5)
    expected = serving_model.predict(images, verbose=0)[OOD_SCORE]
    assert found[OOD_SCORE].shape == (41,)
    np.testing.assert_allclose(found[OOD_SCORE], expected, rtol=1e-4)


def kernel(graph: onnx.GraphProto) -> None:
    scale(next(tensor for tensor in graph.initializer if len(tensor.dims) == 4), 1.05)


def score(graph: onnx.GraphProto) -> None:
    constants = [tensor for tensor in graph.initializer if "ood_score" in tensor.name]
    scale(max(constants, key=lambda tensor: np.prod(tensor.dims)), 1.1)


def scale(tensor: onnx.TensorProto, factor: float) -> None:
    values = numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def logits(graph: onnx.GraphProto) -> None:
    [output] = [output for output in graph.output if output.name == "logits"]
    graph.output.remove(output)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (kernel, "probabilities differs .* Nothing was written"),
        (score, "ood_score differs"),
        (logits, "lacks the outputs .*logits"),
    ],
)
def test_a_graph_that_answers_otherwise_is_refused(
    serving_model: keras.Model,
    graph: onnx.ModelProto,
    spoil: Callable[[onnx.GraphProto], None],
    message: str,
) -> None:
    other = copied(graph)
    spoil(other.graph)

    with pytest.raises(ParityError, match=message):
        measure_parity(serving_model, open_session(other.SerializeToString()), radiographs(4))


def test_too_many_transposes_are_refused(graph: onnx.ModelProto, signature: Signature) -> None:
    slow = copied(graph)
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
