"""How a network's weights are moved: stages, loss, optimizer and learning rate."""

from dataclasses import dataclass

import keras
from keras import layers

from training.backbones import BACKBONE
from training.config import Recipe, TrainingConfig


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a training with an optimizer of its own.

    It goes from the epoch ``start``, counted from 0, to before the epoch ``end``. Beside the head,
    the last ``share`` of the backbone's layers learn. The learning rate is ``constant_rate``, or
    follows the recipe's schedule where that is None.
    """

    start: int
    end: int
    share: float
    constant_rate: float | None = None


def stages(config: TrainingConfig) -> tuple[Stage, ...]:
    """The stages of a training, one after the other.

    Source: Howard 2018, Universal Language Model Fine-tuning (gradual unfreezing); Keras's guide to
    transfer learning.
    """
    tuning = config.fine_tuning
    if tuning is None:
        return (Stage(0, config.epochs, share=1),)
    tuned = Stage(tuning.head_epochs, config.epochs, tuning.share)
    if not tuning.head_epochs:
        return (tuned,)
    head = Stage(0, tuning.head_epochs, share=0, constant_rate=tuning.head_learning_rate)
    return head, tuned


def compile_for_training(
    model: keras.Model, recipe: Recipe, stage: Stage, steps_per_epoch: int
) -> None:
    """Make a model ready for one stage: what learns, the loss and the optimizer.

    The optimizer is AdamW, with an average of the weights if the recipe asks for it.

    Source: Loshchilov 2019, Decoupled Weight Decay Regularization; Szegedy 2016, Rethinking the
    Inception Architecture (label smoothing); Polyak 1992 (averaging).

    Args:
        model: A training form of one network; changed in place, as Keras has it.
        recipe: The rules.
        stage: One of the recipe's.
        steps_per_epoch: Batches of one epoch.
    """
    config = recipe.training
    _choose_learning_layers(
        model.get_layer(BACKBONE), stage.share, with_weights=recipe.model.weights != "none"
    )
    optimizer = keras.optimizers.AdamW(
        learning_rate(config, stage, steps_per_epoch),
        weight_decay=config.weight_decay,
        use_ema=config.ema_momentum is not None,
        ema_momentum=config.ema_momentum or 0.0,
    )
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
    model.compile(optimizer, loss)
    # Made here, its variables can be restored, and TensorFlow traces the first step only once.
    optimizer.build(model.trainable_variables)


def learning_rate(
    config: TrainingConfig, stage: Stage, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A stage's learning rate: constant, or a linear warm-up and a cosine that ends with the stage.

    Source: Loshchilov 2017, SGDR (one cycle of it).
    """
    if stage.constant_rate is not None:
        return stage.constant_rate
    warmup = round(config.warmup_epochs * steps_per_epoch)
    start = config.initial_learning_rate if warmup else 1.0
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=start * config.learning_rate,
        decay_steps=(stage.end - stage.start) * steps_per_epoch - warmup,
        alpha=config.final_learning_rate,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def _choose_learning_layers(backbone: keras.Model, share: float, *, with_weights: bool) -> None:
    """Let the last layers of a backbone learn.

    Batch normalisation that came with weights keeps its statistics, and with them its scale and
    offset: a small data set would spoil them. Calling the backbone with ``training=False`` does
    not do it, as Keras lets the outer model's argument win.
    """
    weighted = [layer for layer in backbone.layers if layer.weights]
    learning = weighted[len(weighted) - round(share * len(weighted)) :]
    for layer in weighted:
        kept = with_weights and isinstance(layer, layers.BatchNormalization)
        layer.trainable = layer in learning and not kept
