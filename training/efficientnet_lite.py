"""EfficientNet-Lite0 in Keras, with ImageNet weights from a file.

No squeeze-and-excite and ReLU6 in place of swish, so that it quantises well. Source: Tan and Le
2019, EfficientNet; the Lite variants are Google's of 2020.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

# Repeats, kernel, stride of the first, expansion, filters: one row for each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_HEAD_FILTERS = 1280
_EPSILON = 1e-3
_ENDS = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}
COMMISSIONING_LAYER = "block_11_bn2"
"""The layer whose 192 channels, at a thirty-second of the image's size, a site's own head sees.

Of the layers tried on adults of NIH its mean gave a head on 200 patients the best AUROC; later
layers know more of ImageNet and less of gray.
"""


def efficientnet_lite0(
    *, input_shape: tuple[int, int, int], weights: str | Path | None = None
) -> keras.Model:
    """Build the network without its classifier, as the constructors of ``keras.applications`` do.

    From float, shape (batch, height, width, 3), -1 to 1, to (batch, height / 32, width / 32, 1280).
    ``weights`` is an ``.npz`` in PyTorch's names and layouts, with ``_conv_stem.weight``,
    ``_blocks.N._expand_conv.weight`` and so on; None draws fresh ones.

    Raises:
        OSError: The file cannot be read.
        KeyError: It lacks a layer's weights.
    """
    if weights == "imagenet":
        raise ValueError("there is no place to download them from.")
    standardised = layers.Input(input_shape)
    stem = layers.Conv2D(32, 3, 2, "same", use_bias=False, name="stem_conv")
    x = _norm(stem(standardised), "stem_bn")
    number = 0
    for repeats, kernel, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            x = _block(x, number, kernel, stride if repeat == 0 else 1, expansion, filters)
            number += 1
    x = layers.Conv2D(_HEAD_FILTERS, 1, use_bias=False, name="head_conv")(x)
    model = keras.Model(standardised, _norm(x, "head_bn"), name="efficientnet_lite0")
    if weights is not None:
        _load_weights(model, weights)
    return model


def _load_weights(model: keras.Model, path: str | Path) -> None:
    with np.load(path) as file:
        weights = {name: file[name].astype(np.float32) for name in file.files}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = _ENDS.get(layer.name) or "_blocks.{1}._{2}".format(*layer.name.split("_", 2))
        if isinstance(layer, layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([weights[f"{name}.{part}"] for part in parts])
        else:
            kernel = weights[f"{name}.weight"]
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            layer.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))])


def _block(
    x: keras.KerasTensor, number: int, kernel: int, stride: int, expansion: int, filters: int
) -> keras.KerasTensor:
    """An inverted residual: expand, filter each channel, project."""
    name, start = f"block_{number}", x
    if expansion > 1:
        wide = layers.Conv2D(
            expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv"
        )(x)
        x = _norm(wide, f"{name}_bn0")
    x = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _norm(x, f"{name}_bn1")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_bn2", activation=False)
    same = stride == 1 and start.shape[-1] == filters
    return layers.Add(name=f"{name}_add")([start, x]) if same else x


def _norm(x: keras.KerasTensor, name: str, *, activation: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return layers.ReLU(max_value=6, name=f"{name}_relu6")(x) if activation else x
