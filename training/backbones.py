"""Networks from a standardised image to a map of features, each a model named ``backbone``.

Those of our own are small and fast, for training from scratch. Those with weights of ImageNet come
without their tops and without their input standardisation.
"""

import textwrap
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
from keras import applications, layers

from training.config import ModelConfig
from training.efficientnet_lite import efficientnet_lite0
from training.errors import RecipeError
from training.standardisation import Standardisation

BACKBONE = "backbone"
GENERAL = "general"
# A short memory: an epoch has few steps, and the statistics must follow the weights.
BATCH_NORM_MOMENTUM = 0.95

# Wide windows: three layers must see most of the lung, as their features are averaged afterwards.
CNN3_KERNEL = 5

APPLICATIONS: dict[str, Callable[..., keras.Model]] = {
    "efficientnetlite0": efficientnet_lite0,
    "mobilenetv2": partial(applications.MobileNetV2, include_top=False),
}


def compact(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """A residual network of 3x3 convolutions, to (batch, height / 16, width / 16, 6 * width).

    Source: He 2016, Deep Residual Learning; a fraction of the depth and width of its smallest one.
    """
    x = convolution(x, width, strides=2)
    x = _residual(convolution(x, width, strides=2))
    x = _residual(convolution(x, 2 * width, strides=2))
    x = _residual(convolution(x, 4 * width, strides=2))
    return convolution(x, 6 * width)


def cnn3(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Three convolutions, each with a pooling: the baseline of many a student project.

    To (batch, height / 32, width / 32, 4 * width), rounded down.
    """
    for number, pool in enumerate((4, 4, 2)):
        x = convolution(x, 2**number * width, kernel=CNN3_KERNEL)
        x = layers.MaxPooling2D(pool)(x)
    return x


OWN = {"compact": compact, "cnn3": cnn3}


def build_backbone(
    shape: tuple[int, int, int], config: ModelConfig, *, with_weights: bool = False
) -> keras.Model:
    """Build a backbone: from float, shape (batch, height, width, channels), to a map of features.

    ``shape`` is the height, width and channels of its input. The weights that the config names are
    loaded where asked for, fresh ones where not. Raises ``RecipeError`` where it cannot take such
    images, or the weights cannot be had or are of another network.
    """
    name, weights = config.backbone, config.weights if with_weights else "none"
    if name in OWN:
        if weights != "none":
            raise RecipeError(f"There are no weights for {name}: set model.weights to none.")
        standardised = layers.Input(shape)
        return keras.Model(standardised, OWN[name](standardised, config.width), name=BACKBONE)
    if weights not in {"none", "imagenet"} and not Path(weights).is_file():
        raise RecipeError(f"There is no file of weights {weights}.")
    try:
        with warnings.catch_warnings():
            # Keras warns of every missing layer before its error says the same once.
            warnings.simplefilter("ignore", UserWarning)
            whole = APPLICATIONS[name](
                weights=None if weights == "none" else weights, input_shape=shape
            )
        return _ended(whole, config)
    # Keras raises a plain Exception where a download fails; its words name the address.
    except Exception as error:
        reason = textwrap.shorten(str(error), 300)
        hint = "" if weights == "none" else " Weights of a file: pneumo-train fit --weights PATH."
        raise RecipeError(
            f"{name} cannot be built for images of {shape[0]} by {shape[1]} pixels with the "
            f"weights {weights}: {reason}{hint}"
        ) from error


def build_standardisation(config: ModelConfig) -> Standardisation:
    """Build the input standardisation that a recipe asks for, with the channels its backbone takes.

    ``imagenet`` is that of both networks with weights: grays from -1 to 1.
    """
    mode = "fixed" if config.standardisation == "imagenet" else config.standardisation
    # In full precision whatever the network computes in: half of it would round gray levels.
    channels = None if config.backbone in OWN else 3
    return Standardisation(
        mode, config.local_window, channels=channels, dtype="float32", name="standardisation"
    )


def convolution(
    x: keras.KerasTensor, filters: int, strides: int = 1, *, kernel: int = 3, activate: bool = True
) -> keras.KerasTensor:
    """A convolution, batch normalisation and, unless told otherwise, ReLU."""
    x = layers.Conv2D(
        filters, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
    return layers.ReLU()(x) if activate else x


def _ended(whole: keras.Model, config: ModelConfig) -> keras.Model:
    """The network up to the recipe's last layer, with its general features behind."""
    end = whole.get_layer(config.last_layer).output if config.last_layer else whole.output
    if config.general_layer:
        general = whole.get_layer(config.general_layer).output
        # Means of equal blocks leave the mean over the image as it is.
        blocks = general.shape[1] // end.shape[1], general.shape[2] // end.shape[2]
        general = layers.AveragePooling2D(blocks, name=GENERAL)(general)
        end = layers.Concatenate()([end, general])
    return keras.Model(whole.input, end, name=BACKBONE)


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    filters = x.shape[-1]
    change = convolution(convolution(x, filters), filters, activate=False)
    return layers.ReLU()(layers.Add()([x, change]))
