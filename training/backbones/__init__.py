"""Networks from a standardised image to a map of features, each a model named ``backbone``."""

from collections.abc import Callable

import keras
from keras import layers

from training.backbones.applications import APPLICATIONS
from training.backbones.own import cnn3, compact
from training.config import ModelConfig
from training.errors import RecipeError
from training.standardisation import Standardisation

BACKBONE = "backbone"
RGB = 3

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
        return APPLICATIONS[config.backbone].build(shape[:2], config.last_layer)
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
