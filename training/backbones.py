"""Networks from a standardised image to a map of features."""

from collections.abc import Callable

import keras
from keras import layers

from training.config import ModelConfig

Backbone = Callable[[keras.KerasTensor, ModelConfig], keras.KerasTensor]

# A short memory: an epoch has few steps, and the statistics must follow the weights.
BATCH_NORM_MOMENTUM = 0.95


def compact(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """A residual network of ordinary 3x3 convolutions, small and fast, for training from scratch.

    Source: He 2016, Deep Residual Learning; a fraction of the depth and width of its smallest one.

    Args:
        x: float, shape (batch, height, width, channels).
        config: ``width`` is the number of channels of the first convolutions.

    Returns:
        float, shape (batch, height / 16, width / 16, 6 * config.width).
    """
    width = config.width
    x = _convolution(x, width, strides=2)
    x = _residual(_convolution(x, width, strides=2))
    x = _residual(_convolution(x, 2 * width, strides=2))
    x = _residual(_convolution(x, 4 * width, strides=2))
    return _convolution(x, 6 * width)


BACKBONES: dict[str, Backbone] = {"compact": compact}


def _convolution(
    x: keras.KerasTensor, filters: int, strides: int = 1, *, activate: bool = True
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
    return layers.ReLU()(x) if activate else x


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    filters = x.shape[-1]
    change = _convolution(_convolution(x, filters), filters, activate=False)
    return layers.ReLU()(layers.Add()([x, change]))
