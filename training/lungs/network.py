"""The network that draws the lungs, for training and for serving.

Source: Ronneberger 2015, U-Net; its skips are added rather than joined, as in Chaurasia 2017,
LinkNet, which halves the work.
"""

import keras
from keras import layers, ops

from training.lungs.recipe import SCALES, SegmenterRecipe
from training.standardisation import Standardisation

LUNG_MASK = "lung_mask"
# Channels at each scale, in multiples of the width.
GROWTH = (1, 2, 4, 6)
# A short memory: an epoch has few steps, and the statistics must follow the weights.
BATCH_NORM_MOMENTUM = 0.95


def build_segmenter(recipe: SegmenterRecipe) -> keras.Model:
    """Build the training form, with fresh weights.

    Returns:
        From ``image``, uint8, shape (batch, height, width, 1), to logits, float32, of that shape.
    """
    image = layers.Input((*recipe.preprocessing.size, 1), dtype="uint8", name="image")
    x = Standardisation("image", local_window=1, name="standardisation")(image)
    skips = []
    for multiple in GROWTH:
        x = _residual(_convolution(x, multiple * recipe.network.width, strides=2))
        skips.append(x)
    x = layers.SpatialDropout2D(recipe.network.dropout)(_residual(x))
    for skip in reversed(skips[: SCALES - 1]):
        x = _convolution(layers.Add()([_doubled(x, skip.shape[-1]), skip]), skip.shape[-1])
    # The last doubling is the head itself: the lungs' outline needs no features of its own there.
    logits = layers.Conv2DTranspose(1, 4, 2, padding="same", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="segmenter")


def with_mask_output(model: keras.Model) -> keras.Model:
    """Give a trained segmenter the output that the service relies on; the weights are shared.

    Returns:
        From ``image`` to a dict with ``lung_mask``: the probability of lung, float32, shape (batch,
        height, width, 1).
    """
    return keras.Model(model.input, {LUNG_MASK: ops.sigmoid(model.output)}, name="serving")


@keras.saving.register_keras_serializable(package="pneumoscope")
def overlap_loss(truth: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy plus one minus the soft Dice coefficient of each image.

    Source: Milletari 2016, V-Net (soft Dice).

    Args:
        truth: float, shape (batch, height, width, 1), 0 no lung to 1 lung.
        logits: float, the same shape.

    Returns:
        float, shape (batch,).
    """
    axes = (1, 2, 3)
    entropy = ops.mean(ops.binary_crossentropy(truth, logits, from_logits=True), axis=axes)
    probability = ops.sigmoid(logits)
    shared = ops.sum(truth * probability, axis=axes)
    total = ops.sum(truth + probability, axis=axes)
    return entropy + 1 - (2 * shared + 1) / (total + 1)


def _convolution(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x))


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Add()([x, _convolution(x, x.shape[-1])])


def _doubled(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    return layers.Conv2DTranspose(filters, 2, 2, use_bias=False, kernel_initializer="he_normal")(x)
