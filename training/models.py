"""Classifiers: a backbone, global average pooling and a dense head, for training and for serving.

The dense head, a convolution of one pixel, stands before the pooling, which gives the same logits,
as both are linear. Its map ``evidence`` is then the class activation map (Zhou 2016, CAM), without
a second pass.
"""

import keras
from keras import layers, ops

from contract.manifest import OOD_SCORE, SOURCE_DISTANCE
from training.backbones import build_backbone, build_standardisation
from training.config import Recipe
from training.errors import RecipeError
from training.evidence import SourceEvidence, SourceHeads
from training.ood import OodScore, OodScorer

EVIDENCE = "evidence"
LOGITS = "logits"


def build_classifier(recipe: Recipe, *, with_weights: bool = False) -> keras.Model:
    """Build the training form of a recipe's network, with its backbone's weights where asked for.

    It goes from ``image``, uint8, shape (batch, height, width, 1), to logits, float32, shape
    (batch, classes). The layer ``evidence`` has the map whose spatial mean the logits are; the
    layer ``backbone`` is a model of its own. Raises ``RecipeError`` where the border is no whole
    number of cells, or the backbone cannot be built.
    """
    image = layers.Input((*recipe.preprocessing.size, 1), dtype="uint8", name="image")
    config = recipe.model
    x = layers.Cropping2D(config.border)(image) if config.border else image
    x = build_standardisation(config)(x)
    features = build_backbone(x.shape[1:], config, with_weights=with_weights)(x)
    # A whole feature map that is dropped before the pooling is a feature dropped after it.
    features = layers.SpatialDropout2D(config.dropout)(features)
    evidence = layers.Conv2D(
        len(recipe.data.classes),
        1,
        kernel_initializer="glorot_uniform",
        dtype="float32",
        name=EVIDENCE,
    )(features)
    margin = config.border * evidence.shape[1] / x.shape[1]
    if not margin.is_integer():
        raise RecipeError(
            f"model.border must be whole cells of the feature map, but is {margin:g} of them."
        )
    logits = layers.GlobalAveragePooling2D(dtype="float32", name=LOGITS)(evidence)
    return keras.Model(image, logits, name="classifier")


def with_serving_outputs(
    model: keras.Model,
    temperature: float,
    scorer: OodScorer | None = None,
    heads: SourceHeads | None = None,
) -> keras.Model:
    """Give a trained classifier the outputs that the service relies on; the weights are shared.

    The logits are divided by the temperature before the softmax. The heads, which need the scorer,
    replace the last layer by that of the nearest source.

    Returns:
        From ``image`` to a dict of float32: ``probabilities``, shape (batch, classes), calibrated;
        ``activation_map``, shape (batch, rows, columns, classes): the evidence for a class against
        the others, centred over the classes, which leaves the softmax as it is; ``logits``, shape
        (batch, classes), its mean over rows and columns; with a scorer ``ood_score``, shape
        (batch,), higher is stranger; and with heads ``source_distance``, shape (batch, sources), as
        a share of each source's limit.
    """
    evidence, scores = model.get_layer(EVIDENCE).output, {}
    if scorer is not None:
        score, distances = OodScore(scorer)(feature_model(model).output, model.input)
        scores[OOD_SCORE] = score
        if heads is not None:
            scores[SOURCE_DISTANCE] = distances
            evidence = SourceEvidence(heads)(last_features(model), distances)
    evidence = _over_the_image(evidence, model)
    activation_map = evidence - ops.mean(evidence, axis=-1, keepdims=True)
    logits = ops.mean(activation_map, axis=(1, 2))
    outputs = {
        "probabilities": ops.softmax(logits / temperature, axis=-1),
        "logits": logits,
        "activation_map": activation_map,
        **scores,
    }
    return keras.Model(model.input, outputs, name="serving")


def feature_model(model: keras.Model) -> keras.Model:
    """The part of a trained classifier up to pooled features, float32, shape (batch, features)."""
    # A mean that keeps its axes leaves ONNX no change of the data layout between convolutions.
    mean = layers.GlobalAveragePooling2D(keepdims=True, dtype="float32")(last_features(model))
    return keras.Model(model.input, layers.Flatten(dtype="float32")(mean), name="features")


def last_features(model: keras.Model) -> keras.KerasTensor:
    """The map of features that a classifier's last layer sees, before the dropout."""
    [dropout] = [layer for layer in model.layers if isinstance(layer, layers.SpatialDropout2D)]
    return dropout.input


def _over_the_image(evidence: keras.KerasTensor, model: keras.Model) -> keras.KerasTensor:
    """Where the image's border is cut off, give the map an empty one; its mean stays the same."""
    cut = sum(
        layer.cropping[0][0] for layer in model.layers if isinstance(layer, layers.Cropping2D)
    )
    rows, columns = evidence.shape[1:3]
    margin = cut * rows // (model.input.shape[1] - 2 * cut)
    if not margin:
        return evidence
    growth = (rows + 2 * margin) * (columns + 2 * margin) / (rows * columns)
    padded = layers.ZeroPadding2D(margin, dtype="float32")(evidence)
    return layers.Rescaling(growth, dtype="float32")(padded)
