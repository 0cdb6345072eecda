"""Classifiers: a backbone, global average pooling and a dense head, for training and for serving.

The dense head stands before the pooling, which gives the same logits, as both are linear. Its map
``evidence`` is then the class activation map, without gradients and without a second pass.

Source: Zhou 2016, Learning Deep Features for Discriminative Localization (CAM).
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from contract.manifest import OOD_SCORE
from training.backbones import BACKBONE, build_backbone, build_standardisation
from training.config import Recipe
from training.errors import RecipeError
from training.ood.scorer import OodScore, OodScorer

EVIDENCE = "evidence"
LOGITS = "logits"


def build_classifier(recipe: Recipe) -> keras.Model:
    """Build the training form of a recipe's network, with fresh weights.

    Returns:
        From ``image``, uint8, shape (batch, height, width, 1), to logits, float32, shape (batch,
        classes). The layer ``evidence`` has the map whose spatial mean the logits are; the layer
        ``backbone`` is a model of its own.

    Raises:
        RecipeError: The border is no whole number of cells of the feature map, or the backbone
            cannot take such images.
    """
    image = _image_input(recipe.preprocessing.size)
    config = recipe.model
    x = layers.Cropping2D(config.border)(image) if config.border else image
    x = build_standardisation(config)(x)
    features = build_backbone(x.shape[1:], config)(x)
    # A whole feature map that is dropped before the pooling is a feature dropped after it.
    features = layers.SpatialDropout2D(config.dropout)(features)
    evidence = _head(features, len(recipe.data.classes), config.border / x.shape[1])
    logits = layers.GlobalAveragePooling2D(dtype="float32", name=LOGITS)(evidence)
    return keras.Model(image, logits, name="classifier")


def average_classifiers(members: Sequence[keras.Model]) -> keras.Model:
    """Put several classifiers into one model that averages their logits and their evidence.

    Args:
        members: Training forms with the same input size and classes, at least one.

    Returns:
        A training form; of a single member, that member itself.
    """
    if len(members) == 1:
        return members[0]
    image = _image_input(members[0].input.shape[1:3])
    maps = [
        keras.Model(member.input, member.get_layer(EVIDENCE).output, name=f"member_{number}")(image)
        for number, member in enumerate(members)
    ]
    evidence = layers.Average(dtype="float32", name=EVIDENCE)(maps)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name=LOGITS)(evidence)
    return keras.Model(image, logits, name="classifier")


def with_serving_outputs(
    model: keras.Model, temperature: float, scorer: OodScorer | None = None
) -> keras.Model:
    """Give a trained classifier the outputs that the service relies on; the weights are shared.

    Args:
        model: A training form.
        temperature: Above 0; the logits are divided by it before the softmax.
        scorer: Says how unlike the training images an image is; None where that is not known.

    Returns:
        From ``image`` to a dict of float32: ``probabilities``, shape (batch, classes), calibrated;
        ``logits``, shape (batch, classes), centred over the classes, which leaves the softmax as it
        is, and not divided by the temperature; ``activation_map``, shape (batch, rows, columns,
        classes), centred too: the evidence for a class against the others, whose mean over rows and
        columns is ``logits``; and with a scorer ``ood_score``, shape (batch,), higher is stranger.
    """
    evidence = model.get_layer(EVIDENCE).output
    activation_map = evidence - ops.mean(evidence, axis=-1, keepdims=True)
    logits = ops.mean(activation_map, axis=(1, 2))
    outputs = {
        "probabilities": ops.softmax(logits / temperature, axis=-1),
        "logits": logits,
        "activation_map": activation_map,
    }
    if scorer is not None:
        outputs[OOD_SCORE] = OodScore(scorer)(feature_model(model).output, model.input)
    return keras.Model(model.input, outputs, name="serving")


def feature_map(model: keras.Model) -> keras.KerasTensor:
    """The backbone's output in a classifier of one network, as a tensor of that classifier.

    Returns:
        float, shape (batch, rows, columns, features).
    """
    [dropout] = [layer for layer in model.layers if isinstance(layer, layers.SpatialDropout2D)]
    return dropout.input


def feature_model(model: keras.Model) -> keras.Model:
    """The part of a trained classifier that ends with what its dense head sees.

    Args:
        model: A training form, of one network or of several.

    Returns:
        From ``image``, uint8, shape (batch, height, width, 1), to pooled features, float32, shape
        (batch, features); those of several networks stand one after the other.
    """
    networks = members_of(model)
    parts = [
        keras.Model(network.input, _pooled(feature_map(network)), name=f"features_{number}")
        for number, network in enumerate(networks)
    ]
    if networks == [model]:
        return parts[0]
    joined = layers.Concatenate(dtype="float32")([part(model.input) for part in parts])
    return keras.Model(model.input, joined, name="features")


def members_of(model: keras.Model) -> list[keras.Model]:
    """The networks that a classifier averages; itself where it is one."""
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return [layer for layer in nested if layer.name != BACKBONE] or [model]


def _pooled(features: keras.KerasTensor) -> keras.KerasTensor:
    # A mean that keeps its axes leaves ONNX no change of the data layout between convolutions.
    mean = layers.GlobalAveragePooling2D(keepdims=True, dtype="float32")(features)
    return layers.Flatten(dtype="float32")(mean)


def _head(features: keras.KerasTensor, classes: int, border: float) -> keras.KerasTensor:
    """The dense head, as a convolution of one pixel: the evidence for each class at each place.

    Where the image's border was cut off, the map gets an empty one, so that it covers the image,
    and is scaled so that its mean stays the same.
    """
    name = None if border else EVIDENCE
    dense = layers.Conv2D(
        classes, 1, kernel_initializer="glorot_uniform", dtype="float32", name=name
    )
    evidence = dense(features)
    if not border:
        return evidence
    rows, columns = features.shape[1:3]
    margin = border * rows
    if not margin.is_integer():
        raise RecipeError(
            f"model.border must be whole cells of the feature map, but is {margin:g} of them."
        )
    padding = int(margin)
    growth = (rows + 2 * padding) * (columns + 2 * padding) / (rows * columns)
    padded = layers.ZeroPadding2D(padding, dtype="float32")(evidence)
    return layers.Rescaling(growth, dtype="float32", name=EVIDENCE)(padded)


def _image_input(size: tuple[int, int]) -> keras.KerasTensor:
    return layers.Input((*size, 1), dtype="uint8", name="image")
