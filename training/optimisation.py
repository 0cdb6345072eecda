"""How a network's weights are moved: loss, optimizer and learning rate."""

import keras

from training.config import TrainingConfig


def compile_for_training(model: keras.Model, config: TrainingConfig, steps_per_epoch: int) -> None:
    """Give a model its loss and its optimizer: AdamW, with an average of the weights if asked for.

    Source: Loshchilov 2019, Decoupled Weight Decay Regularization; Szegedy 2016, Rethinking the
    Inception Architecture (label smoothing); Polyak 1992 (averaging).

    Args:
        model: A training form; changed in place, as Keras has it.
        config: The recipe's part.
        steps_per_epoch: Batches of one epoch.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate_schedule(config, steps_per_epoch),
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


def learning_rate_schedule(
    config: TrainingConfig, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A linear warm-up, then a cosine that ends with the last epoch.

    Source: Loshchilov 2017, SGDR (one cycle of it).
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    start = config.initial_learning_rate if warmup else 1.0
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=start * config.learning_rate,
        decay_steps=config.epochs * steps_per_epoch - warmup,
        alpha=config.final_learning_rate,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
