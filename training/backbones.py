"""Networks from a standardised image to a map of features, each a model named ``backbone``.

Those of our own are small and fast, for training from scratch. Those of ``keras.applications`` come
without their tops and without their input standardisation; their weights come from Keras, from a
file in Keras's format, or from an earlier training.
"""

import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import applications, layers
from numpy.typing import NDArray

from training.config import ModelConfig
from training.efficientnet_lite import efficientnet_lite0, load_imagenet_weights
from training.errors import RecipeError
from training.standardisation import Mode, Standardisation

Weights = list[NDArray[Any]]

BACKBONE = "backbone"
GENERAL = "general"
RGB = 3
GIVE_A_FILE = "give it with pneumo-train fit --weights PATH, or as model.weights in the recipe"
REASON_LENGTH = 300
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


# The files of weights fit any input size; this one is at home in all of the networks.
DONOR_SIZE = (224, 224)


@dataclass(frozen=True, slots=True)
class Application:
    """A network of ``keras.applications``.

    ``standardisation`` is the arithmetic of the network's own ``preprocess_input``.
    """

    constructor: Callable[..., keras.Model]
    standardisation: Mode

    def build(
        self, size: tuple[int, int], config: ModelConfig, weights: str | None = None
    ) -> keras.Model:
        """The network from three standardised channels to a feature map.

        Args:
            size: Height and width.
            config: Names the layers whose outputs the feature map is.
            weights: ``imagenet`` downloads those; None draws fresh ones.

        Raises:
            ValueError: The network takes no images of that size, or has no such layer, or has no
                weights to download.
        """
        return self._backbone(self._whole(size, weights), config)

    def weights_from(self, file: Path, config: ModelConfig) -> keras.Model:
        """The network with the weights of a file.

        Args:
            file: Weights of the whole network without its top, in Keras's format (``.weights.h5``
                or ``.h5``), or as ``load_imagenet_weights`` takes them (``.npz``).
            config: As for ``build``.

        Raises:
            OSError: The file cannot be read.
            KeyError, ValueError: The file is of another network.
        """
        whole = self._whole(DONOR_SIZE, None)
        if file.suffix == ".npz":
            load_imagenet_weights(whole, file)
        else:
            whole.load_weights(file)
        return self._backbone(whole, config)

    def _whole(self, size: tuple[int, int], weights: str | None) -> keras.Model:
        return self.constructor(include_top=False, weights=weights, input_shape=(*size, 3))

    def _backbone(self, whole: keras.Model, config: ModelConfig) -> keras.Model:
        end = whole.get_layer(config.last_layer).output if config.last_layer else whole.output
        if config.general_layer:
            general = whole.get_layer(config.general_layer).output
            # Means of equal blocks leave the mean over the image as it is.
            blocks = general.shape[1] // end.shape[1], general.shape[2] // end.shape[2]
            general = layers.AveragePooling2D(blocks, name=GENERAL)(general)
            end = layers.Concatenate()([end, general])
        return keras.Model(whole.input, end, name=BACKBONE)


def _efficientnet_lite0(
    *, include_top: bool, weights: str | None, input_shape: tuple[int, int, int]
) -> keras.Model:
    """As the constructors of ``keras.applications``, which has no such network."""
    if include_top or weights:
        raise ValueError("there is no place to download them from")
    return efficientnet_lite0(layers.Input(input_shape))


APPLICATIONS: dict[str, Application] = {
    "vgg16": Application(applications.VGG16, "caffe"),
    "resnet50": Application(applications.ResNet50, "caffe"),
    "xception": Application(applications.Xception, "fixed"),
    "inceptionv3": Application(applications.InceptionV3, "fixed"),
    "efficientnetlite0": Application(_efficientnet_lite0, "fixed"),
    "mobilenetv2": Application(applications.MobileNetV2, "fixed"),
    "densenet121": Application(applications.DenseNet121, "torch"),
}


OWN: dict[str, Callable[[keras.KerasTensor, ModelConfig], keras.KerasTensor]] = {
    "compact": compact,
    "cnn3": cnn3,
}


def build_backbone(shape: tuple[int, int, int], config: ModelConfig) -> keras.Model:
    """Build a backbone with fresh weights.

    Args:
        shape: Height, width and channels of its input.
        config: Names the backbone.

    Returns:
        From float, shape (batch, height, width, channels), to float, shape (batch, rows, columns,
        features).

    Raises:
        RecipeError: The images are too small for it.
    """
    if config.backbone in OWN:
        standardised = layers.Input(shape)
        return keras.Model(standardised, OWN[config.backbone](standardised, config), name=BACKBONE)
    try:
        return APPLICATIONS[config.backbone].build(shape[:2], config)
    except ValueError as error:
        raise RecipeError(
            f"{config.backbone} cannot take images of {shape[0]} by {shape[1]} pixels: {error}"
        ) from error


def build_standardisation(config: ModelConfig) -> Standardisation:
    """Build the input standardisation that a recipe asks for, with the channels its backbone takes.

    Raises:
        RecipeError: The backbone has none of ImageNet, as it is one of our own.
    """
    mode, own = config.standardisation, config.backbone in OWN
    if mode == "imagenet":
        if own:
            raise RecipeError(
                f"model.standardisation is imagenet, which {config.backbone} knows nothing of: "
                "choose another one, or a backbone of keras.applications."
            )
        mode = APPLICATIONS[config.backbone].standardisation
    # In full precision whatever the network computes in: half of it would round gray levels.
    return Standardisation(
        mode,
        config.local_window,
        channels=None if own else RGB,
        dtype="float32",
        name="standardisation",
    )


def load_backbone_weights(model: keras.Model, config: ModelConfig) -> None:
    """Give the backbone of a fresh classifier the weights that its recipe names.

    Args:
        model: A training form of one network; changed in place. Its head stays as it is.
        config: ``weights`` is ``none``, ``imagenet`` or the path of a file: weights of
            ``keras.applications`` without the top, or the ``model.keras`` of an earlier training
            with the same backbone.

    Raises:
        RecipeError: The weights cannot be had, or are of another network.
    """
    if config.weights == "none":
        return
    if config.weights == "imagenet":
        weights, origin = _of_imagenet(config), "The weights of ImageNet"
    else:
        path = Path(config.weights)
        weights, origin = _of_file(path, config), str(path)
    backbone = model.get_layer(BACKBONE)
    _check_shapes(weights, backbone, config, origin)
    backbone.set_weights(weights)


def _of_imagenet(config: ModelConfig) -> Weights:
    name = config.backbone
    if name not in APPLICATIONS:
        raise RecipeError(
            f"There are no weights of ImageNet for {name}: set model.weights to none, or to the "
            "model.keras of an earlier training with it."
        )
    try:
        donor = APPLICATIONS[name].build(DONOR_SIZE, config, weights="imagenet")
        return donor.get_weights()
    # Keras raises a plain Exception where a download fails; its words name the address.
    except Exception as error:
        raise RecipeError(
            f"The weights of ImageNet for {name} could not be downloaded: {error}. Without a "
            f"network, fetch that file elsewhere and {GIVE_A_FILE}."
        ) from error


def _of_file(path: Path, config: ModelConfig) -> Weights:
    if not path.is_file():
        raise RecipeError(f"There is no file of weights {path}: check the path, and {GIVE_A_FILE}.")
    try:
        if path.suffix == ".keras":
            return _of_training(path)
        return _of_application(path, config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = textwrap.shorten(str(error), REASON_LENGTH)
        raise RecipeError(
            f"{path} has no weights for {config.backbone} without its top: {reason}"
        ) from error


def _of_training(path: Path) -> Weights:
    network = keras.saving.load_model(path, compile=False)
    # The first models that shipped have the backbone's layers among their own.
    [dropout] = [layer for layer in network.layers if isinstance(layer, layers.SpatialDropout2D)]
    standardised = network.get_layer("standardisation").output
    return keras.Model(standardised, dropout.input).get_weights()


def _of_application(path: Path, config: ModelConfig) -> Weights:
    name = config.backbone
    if name not in APPLICATIONS:
        raise ValueError("it takes the model.keras of an earlier training, and no other file")
    with warnings.catch_warnings():
        # Keras warns of every missing layer before its error says the same once.
        warnings.simplefilter("ignore", UserWarning)
        return APPLICATIONS[name].weights_from(path, config).get_weights()


def _check_shapes(
    weights: Weights, backbone: keras.Model, config: ModelConfig, origin: str
) -> None:
    found = [array.shape for array in weights]
    wanted = [tuple(variable.shape) for variable in backbone.weights]
    if found == wanted:
        return
    differences = (
        f"array {number} is {one}, and {other} is needed"
        for number, (one, other) in enumerate(zip(found, wanted, strict=False), start=1)
        if one != other
    )
    what = next(differences, f"it has {len(found)} arrays, and {len(wanted)} are needed")
    raise RecipeError(
        f"{origin} is not of the backbone that the recipe asks for ({config.backbone}, width "
        f"{config.width}, standardisation {config.standardisation}): {what}."
    )
