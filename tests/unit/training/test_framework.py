from collections.abc import Iterator

import keras
import numpy as np
import pytest

from tests.training_data import tiny_recipe
from training.errors import AccelerationError
from training.framework import accelerate, full_precision
from training.models import build_classifier, with_serving_outputs

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
RECIPE = tiny_recipe(model={"standardisation": "image+local"})


@pytest.fixture(autouse=True)
def _precision_as_before() -> Iterator[None]:
    with full_precision():
        yield


def test_mixed_precision_computes_in_half_and_answers_in_full() -> None:
    accelerate(mixed_precision=True, devices=1)

    model = build_classifier(RECIPE)

    backbone = model.get_layer("backbone")
    assert {layer.compute_dtype for layer in backbone.layers} == {"bfloat16"}
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert model.get_layer("standardisation").compute_dtype == "float32"
    assert model.output.dtype == "float32"


def test_what_was_trained_in_mixed_precision_is_served_in_full() -> None:
    accelerate(mixed_precision=True, devices=1)
    mixed = build_classifier(RECIPE)
    with full_precision():
        full = build_classifier(RECIPE)

    full.set_weights(mixed.get_weights())

    assert {layer.compute_dtype for layer in full.get_layer("backbone").layers} == {"float32"}
    served = [with_serving_outputs(m, 1.0)(IMAGES) for m in (mixed, full)]
    dtypes = [keras.backend.standardize_dtype(o.dtype) for one in served for o in one.values()]
    assert dtypes == ["float32"] * 6
    difference = np.abs(served[0]["probabilities"] - served[1]["probabilities"])
    assert 0 < difference.max() < 0.01


def test_full_precision_ends_where_it_is_left() -> None:
    accelerate(mixed_precision=True, devices=1)

    with full_precision():
        assert keras.config.dtype_policy().name == "float32"

    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_several_devices_need_another_backend() -> None:
    with pytest.raises(AccelerationError, match="KERAS_BACKEND=jax"):
        accelerate(mixed_precision=False, devices=2)

    assert keras.distribution.distribution() is None
