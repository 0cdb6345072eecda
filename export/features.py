"""The frozen feature graph that commissioning puts a site's own head on."""

from pathlib import Path

import keras
import onnx
from keras import layers

from contract.manifest import Signature, TensorSpec
from export.convert import convert
from training.efficientnet_lite import COMMISSIONING_LAYER, efficientnet_lite0

SIDE = 224


def export_features(weights: Path, output: Path) -> None:
    """Convert EfficientNet-Lite0, with its ImageNet weights, up to commissioning's layer.

    The graph takes ``image``, float32 (batch, 224, 224, 1), gray from 0 to 255, to ``features``,
    (batch, 7, 7, 192).

    Raises:
        ConversionError: The converted graph is another.
        OSError: The weights cannot be read.
    """
    image = keras.Input((SIDE, SIDE, 1), name="image")
    level = layers.Rescaling(1 / 128, offset=-127 / 128)(image)
    network = efficientnet_lite0(input_shape=(SIDE, SIDE, 3), weights=weights)
    trunk = keras.Model(network.input, network.get_layer(COMMISSIONING_LAYER).output)
    features = trunk(layers.Concatenate()([level] * 3))
    shape = ("batch", *features.shape[1:])
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", SIDE, SIDE, 1)),),
        outputs=(TensorSpec(name="features", dtype="float32", shape=shape),),
    )
    onnx.save(convert(keras.Model(image, {"features": features}), signature), output)
