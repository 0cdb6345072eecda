"""Networks of our own, small and fast, for training from scratch."""

import keras
from keras import layers

from training.config import ModelConfig

# A short memory: an epoch has few steps, and the statistics must follow the weights.
BATCH_NORM_MOMENTUM = 0.95

# Wide windows: three layers must see most of the lung, as their features are averaged afterwards.
CNN3_KERNEL = 5
CNN3_POOLS = (4, 4, 2)


def compact(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """A residual network of ordinary 3x3 convolutions.

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


def cnn3(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Three convolutions, each with a pooling: the baseline of many a student project.

    Args:
        x: float, shape (batch, height, width, channels).
        config: ``width`` is the number of channels of the first convolution.

    Returns:
        float, shape (batch, height / 32, width / 32, 4 * config.width), rounded down.
    """
    for number, pool in enumerate(CNN3_POOLS):
        x = _convolution(x, 2**number * config.width, kernel=CNN3_KERNEL)
        x = layers.MaxPooling2D(pool)(x)
    return x


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    strides: int = 1,
    *,
    kernel: int = 3,
    activate: bool = True,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
    return layers.ReLU()(x) if activate else x


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    filters = x.shape[-1]
    change = _convolution(_convolution(x, filters), filters, activate=False)
    return layers.ReLU()(layers.Add()([x, change]))
