"""Every backbone becomes a graph that answers as the Keras model does."""

import keras
import numpy as np
import pytest

from contract.manifest import classifier_signature
from export.convert import convert
from export.inference import open_session, run_in_batches
from tests.training_data import tiny_recipe
from training.backbones import BACKBONE
from training.models import build_classifier, with_serving_outputs

TOLERANCE = 1e-4
SIDE = 96
IMAGES = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 1), dtype=np.uint8)
# Half of the images are darker, so that their answers lie apart.
IMAGES[::2] //= 3

LIGHT = [("compact", "image"), ("cnn3", "image+local"), ("mobilenetv2", "imagenet")]
HEAVY = [
    ("vgg16", "imagenet"),
    ("resnet50", "imagenet"),
    ("xception", "image"),
    ("inceptionv3", "imagenet"),
    ("efficientnetb0", "imagenet"),
    ("densenet121", "image+local"),
]


def lively_classifier(backbone: str, standardisation: str) -> keras.Model:
    """A network with random weights whose signal neither dies nor grows on its way.

    Fresh statistics of batch normalisation fit no network; here they are those of the images.
    """
    keras.utils.set_random_seed(0)
    recipe = tiny_recipe(
        model={"backbone": backbone, "standardisation": standardisation, "width": 8, "dropout": 0},
        preprocessing={"height": SIDE, "width": SIDE},
    )
    model = build_classifier(recipe)
    for layer in model.get_layer(BACKBONE).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(IMAGES, training=True)
    return with_serving_outputs(model, temperature=1.5)


@pytest.mark.parametrize(
    ("backbone", "standardisation"),
    [*LIGHT, *(pytest.param(*names, marks=pytest.mark.slow) for names in HEAVY)],
)
def test_a_backbone_answers_alike_in_keras_and_in_onnx_runtime(
    backbone: str, standardisation: str
) -> None:
    serving = lively_classifier(backbone, standardisation)
    spec = tiny_recipe(preprocessing={"height": SIDE, "width": SIDE}).preprocessing
    signature = classifier_signature(spec, 2, serving.output["activation_map"].shape[1:3])

    graph = convert(serving, signature).SerializeToString()

    found = run_in_batches(open_session(graph), IMAGES)
    expected = serving(IMAGES, training=False)
    difference = np.abs(found["probabilities"] - expected["probabilities"]).max()
    print(backbone, standardisation, difference, np.abs(found["activation_map"]-expected["activation_map"]).max(), np.ptp(found["probabilities"][:,0]), len(graph)/1e6, serving.count_params())
    assert difference <= TOLERANCE
    assert np.ptp(found["probabilities"][:, 0]) > 10 * TOLERANCE
