from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

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


def images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def serving_model() -> keras.Model:
    recipe = read_recipe("xray-pneumonia")
    small = recipe.model.model_copy(update={"width": 4})
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe.model_copy(update={"preprocessing": SPEC, "model": small}))
    return with_serving_outputs(model, temperature=1.5)


@pytest.fixture(scope="module")
def signature(serving_model: keras.Model) -> Signature:
    return classifier_signature(SPEC, 2, serving_model.output["activation_map"].shape[1:3])


@pytest.fixture(scope="module")
def graph(serving_model: keras.Model, signature: Signature) -> onnx.ModelProto:
    return convert(serving_model, signature)


def test_an_unpromised_output_is_refused(serving_model: keras.Model, signature: Signature) -> None:
    three_classes = classifier_signature(SPEC, 3, (4, 4))

    with pytest.raises(ConversionError, match="were promised"):
        convert(serving_model, three_classes)


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


def radiographs(count: int) -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(64, 64, n % 2, seed=n) for n in range(count)]
    return np.stack(planes)[..., np.newaxis]


@pytest.fixture(scope="module")
def scoring_model() -> keras.Model:
    recipe = read_recipe("xray-pneumonia")
    small = recipe.model.model_copy(update={"width": 4})
    plain = CalibrationConfig(shifts=("none",))
    recipe = recipe.model_copy(update={"preprocessing": SPEC, "model": small, "calibration": plain})
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe)
    scorer = fit_scorer(feature_model(model), radiographs(140), recipe)
    return with_serving_outputs(model, 1.5, scorer)


@pytest.fixture(scope="module")
def scoring_graph(scoring_model: keras.Model) -> onnx.ModelProto:
    map_size = scoring_model.output["activation_map"].shape[1:3]
    return convert(scoring_model, classifier_signature(SPEC, 2, map_size, ood_score=True))


def test_onnx_runtime_gives_the_score_of_keras(
    scoring_model: keras.Model, scoring_graph: onnx.ModelProto
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 1), dtype=np.uint8)
    images = np.concatenate([radiographs(20), noise, np.zeros_like(noise[:1])])

    found = run_in_batches(open_session(scoring_graph.SerializeToString()), images)[OOD_SCORE]

    expected = scoring_model.predict(images, verbose=0)[OOD_SCORE]
    assert found.shape == (41,)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_another_score_than_keras_has_is_refused(
    scoring_model: keras.Model, scoring_graph: onnx.ModelProto
) -> None:
    other = onnx.load_from_string(scoring_graph.SerializeToString())
    joint = max(
        (tensor for tensor in other.graph.initializer if "ood_score" in tensor.name),
        key=lambda tensor: np.prod(tensor.dims),
    )
    values = onnx.numpy_helper.to_array(joint) * np.float32(1.1)
    joint.CopyFrom(onnx.numpy_helper.from_array(values, joint.name))

    with pytest.raises(ParityError, match="ood_score"):
        measure_parity(scoring_model, open_session(other.SerializeToString()), radiographs(4))
