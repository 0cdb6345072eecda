"""Every backbone becomes a graph that answers as the Keras model does."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.manifest import classifier_signature
from export.convert import convert
from export.session import open_session, run_in_batches
from tests.training_data import tiny_recipe
from training.backbones import BACKBONE
from training.config import Recipe
from training.models import build_classifier, with_serving_outputs

TOLERANCE = 1e-4
BACKBONES = [
    ("compact", "image"),
    ("cnn3", "local"),
    ("mobilenetv2", "imagenet"),
    ("efficientnetlite0", "imagenet"),
]
SIDE = 96


def some_images() -> NDArray[np.uint8]:
    """Noise; half of it is darker, so that the answers lie apart."""
    images = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 1), dtype=np.uint8)
    images[::2] //= 3
    return images


def lively_classifier(recipe: Recipe, images: NDArray[np.uint8]) -> keras.Model:
    """A network with random weights whose signal neither dies nor grows on its way.

    Fresh statistics of batch normalisation fit no network; here they are those of the images.
    """
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe)
    for layer in model.get_layer(BACKBONE).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    return with_serving_outputs(model, temperature=1.5)


@pytest.mark.parametrize(("backbone", "standardisation"), BACKBONES)
def test_a_backbone_answers_alike_in_keras_and_in_onnx_runtime(
    backbone: str, standardisation: str
) -> None:
    recipe = tiny_recipe(
        model={"backbone": backbone, "standardisation": standardisation, "width": 8, "dropout": 0},
        preprocessing={"height": SIDE, "width": SIDE},
    )
    images = some_images()
    serving = lively_classifier(recipe, images)
    map_size = serving.output["activation_map"].shape[1:3]
    signature = classifier_signature(recipe.preprocessing, 2, map_size)

    graph = convert(serving, signature)

    assert not [n for n in graph.graph.node if n.op_type == "Concat" and len(set(n.input)) == 1]
    found = run_in_batches(open_session(graph.SerializeToString()), images)
    expected = serving(images, training=False)
    difference = np.abs(found["probabilities"] - expected["probabilities"]).max()
    assert difference <= TOLERANCE
    assert np.ptp(found["probabilities"][:, 0]) > 10 * TOLERANCE
