from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training_data import tiny_recipe
from training.errors import RecipeError
from training.evidence import SourceHeads
from training.models import EVIDENCE, build_classifier, feature_model, with_serving_outputs
from training.ood import fit_scorer

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)


def classifier(seed: int = 0, **model: object) -> keras.Model:
    keras.utils.set_random_seed(seed)
    size: dict[str, object] = {"height": 64, "width": 64}
    return build_classifier(tiny_recipe(preprocessing=size, model=model))


def run(model: keras.Model, images: NDArray[np.uint8] = IMAGES) -> dict[str, NDArray[np.float32]]:
    outputs = model(images, training=False)
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("border", [0, 16])
def test_the_mean_of_the_activation_map_is_the_centred_logit(border: int) -> None:
    model = classifier(border=border)
    raw = keras.ops.convert_to_numpy(model(IMAGES, training=False))

    served = run(with_serving_outputs(model, temperature=1.7))

    assert served["activation_map"].shape == (3, 4, 4, 2)
    centred = raw - raw.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(served["logits"], centred, atol=1e-5)
    np.testing.assert_allclose(served["activation_map"].mean(axis=(1, 2)), centred, atol=1e-5)
    np.testing.assert_allclose(served["activation_map"].sum(axis=3), 0, atol=1e-5)
    np.testing.assert_allclose(served["probabilities"], softmax(raw / 1.7), atol=1e-6)


def test_a_cut_border_neither_counts_nor_shows() -> None:
    served = with_serving_outputs(classifier(border=16), temperature=1.0)
    inside = np.zeros_like(IMAGES)
    inside[:, 16:-16, 16:-16] = IMAGES[:, 16:-16, 16:-16]

    before, after = run(served), run(served, inside)

    np.testing.assert_allclose(after["logits"], before["logits"], atol=1e-6)
    assert not before["activation_map"][:, [0, -1]].any()
    assert not before["activation_map"][:, :, [0, -1]].any()
    assert before["activation_map"][:, 1:-1, 1:-1].all()


def test_a_border_is_cut_where_each_source_has_its_own_layer() -> None:
    model, features = classifier(border=16), 24
    recipe = tiny_recipe(calibration={"shifts": ["none"]})
    scorer = fit_scorer(feature_model(model), IMAGES, recipe)
    random = np.random.default_rng(0)
    weights = random.normal(size=(1, features, 2)).astype(np.float32)
    heads = SourceHeads(weights, np.ones((1, 2), np.float32), np.ones((1, 2), bool))

    served = run(with_serving_outputs(model, 1.0, scorer, heads))

    pooled = keras.ops.convert_to_numpy(feature_model(model)(IMAGES, training=False))
    expected = heads.logits(pooled, np.zeros(len(IMAGES), np.int64))
    centred = expected - expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(served["logits"], centred, rtol=1e-4, atol=1e-5)
    assert not served["activation_map"][:, [0, -1]].any()


def test_a_border_of_part_of_a_cell_is_refused() -> None:
    with pytest.raises(RecipeError, match="whole cells"):
        classifier(border=12)


def test_the_head_sees_the_features_also_of_a_saved_model(tmp_path: Path) -> None:
    model = classifier(1, standardisation="local", border=16)
    kernel, bias = model.get_layer(EVIDENCE).get_weights()
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)

    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-6)
    features = feature_model(loaded)
    assert features.output.dtype == "float32"
    pooled = keras.ops.convert_to_numpy(features(IMAGES, training=False))
    assert pooled.shape == (3, 24)
    np.testing.assert_allclose(pooled @ kernel[0, 0] + bias, model(IMAGES), atol=1e-5)
