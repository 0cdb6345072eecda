import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from contract.manifest import OOD_SCORE, Signature, classifier_signature
from contract.preprocessing import PreprocessingSpec
from export.convert import convert, measure_parity
from export.errors import ParityError
from export.graph import tensor_specs
from export.session import open_session, run_in_batches
from tests.synthetic import synthetic_radiograph
from training.config import CalibrationConfig, read_recipe
from training.models import build_classifier, feature_model, with_serving_outputs
from training.ood import fit_scorer

SPEC = PreprocessingSpec(height=64, width=64)


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
    scorer = fit_scorer(
        feature_model(model), radiographs(140), np.arange(140), np.zeros(140, np.int64), recipe
    )
    return with_serving_outputs(model, 1.5, scorer)


@pytest.fixture(scope="module")
def promised(scoring_model: keras.Model) -> Signature:
    map_size = scoring_model.output["activation_map"].shape[1:3]
    return classifier_signature(SPEC, 2, map_size, ood_score=True)


@pytest.fixture(scope="module")
def scoring_graph(scoring_model: keras.Model, promised: Signature) -> onnx.ModelProto:
    return convert(scoring_model, promised)


def test_the_score_is_one_more_output(scoring_graph: onnx.ModelProto, promised: Signature) -> None:
    assert set(tensor_specs(scoring_graph.graph.output)) == set(promised.outputs)
    assert tensor_specs(scoring_graph.graph.input) == promised.inputs


def test_the_score_costs_no_change_of_the_data_layout(scoring_graph: onnx.ModelProto) -> None:
    assert sum(node.op_type == "Transpose" for node in scoring_graph.graph.node) <= 2


def test_onnx_runtime_gives_the_score_of_keras(
    scoring_model: keras.Model, scoring_graph: onnx.ModelProto
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 1), dtype=np.uint8)
    images = np.concatenate([radiographs(20), noise, np.zeros_like(noise[:1])])

    found = run_in_batches(open_session(scoring_graph.SerializeToString()), images)[OOD_SCORE]

    expected = scoring_model.predict(images, verbose=0)[OOD_SCORE]
    assert found.shape == (41,)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_score_takes_few_nodes(scoring_graph: onnx.ModelProto) -> None:
    own = [node for node in scoring_graph.graph.node if "ood_score" in node.output[0]]

    # It was 180 before the description became products with Haar matrices.
    assert len(own) < 80


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
