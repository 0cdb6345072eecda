"""Weights that a backbone starts with: of ImageNet, of a file, or of an earlier training."""

import textwrap
import warnings
from pathlib import Path

import keras

from training.backbones import BACKBONE
from training.backbones.applications import APPLICATIONS, DONOR_SIZE
from training.checkpoint import Weights
from training.config import ModelConfig
from training.errors import RecipeError
from training.models import feature_map, members_of

GIVE_A_FILE = "give it with pneumo-train fit --weights PATH, or as model.weights in the recipe"
REASON_LENGTH = 300


def load_backbone_weights(model: keras.Model, config: ModelConfig) -> None:
    """Give the backbone of a fresh classifier the weights that its recipe names.

    Args:
        model: A training form of one network; changed in place. Its head stays as it is.
        config: ``weights`` is ``none``, ``imagenet`` or the path of a file: weights of
            ``keras.applications`` without the top, or the ``model.keras`` of an earlier training
            with the same backbone, of whose networks the first is taken.

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
        donor = APPLICATIONS[name].build(DONOR_SIZE, config.last_layer, weights="imagenet")
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
    network = members_of(keras.saving.load_model(path, compile=False))[0]
    standardised = network.get_layer("standardisation").output
    return keras.Model(standardised, feature_map(network)).get_weights()


def _of_application(path: Path, config: ModelConfig) -> Weights:
    name = config.backbone
    if name not in APPLICATIONS:
        raise ValueError("it takes the model.keras of an earlier training, and no other file")
    with warnings.catch_warnings():
        # Keras warns of every missing layer before its error says the same once.
        warnings.simplefilter("ignore", UserWarning)
        return APPLICATIONS[name].weights_from(path, config.last_layer).get_weights()


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
