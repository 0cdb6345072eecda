"""The training loop of every network: stages, optimizer, callbacks, resumption, best weights.

After each epoch Keras's ``BackupAndRestore`` keeps the whole state, and a run that was killed
carries on from there. An epoch is validated with the weights that the optimizer has averaged, which
``SwapEMAWeights`` puts into the network for that time; those of the best epoch are kept.
"""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np
import pandas as pd
from keras import layers
from numpy.typing import NDArray

from training.atomic import atomic_path, write_errors
from training.backbones import BACKBONE, GENERAL
from training.batches import PREDICTED_AT_ONCE, TrainingBatches
from training.config import TrainingConfig
from training.errors import TrainingDiverged, WorkdirIncomplete

Logs = dict[str, float] | None

# The files of ``BackupAndRestore``, in the order in which it writes them.
BACKUP = ("latest.weights.h5", "training_metadata.json")


class Network(NamedTuple):
    """What the loop has to know of a network.

    ``build`` makes its training form; ``start`` the same with the weights that its backbone comes
    with. ``metric`` says which epoch is the best, higher is better.
    """

    build: Callable[[], keras.Model]
    loss: keras.losses.Loss | Callable[..., keras.KerasTensor]
    metric: Callable[[], keras.metrics.Metric]
    start: Callable[[], keras.Model] | None = None


class Stage(NamedTuple):
    """A part of a training with an optimizer of its own.

    It goes from the epoch ``start``, counted from 0, to before ``end``. Beside the head, the last
    ``share`` of the backbone's layers learn. The learning rate is ``constant_rate``, or follows the
    recipe's schedule where that is None.
    """

    start: int
    end: int
    share: float
    constant_rate: float | None = None


def fit(
    network: Network,
    batches: TrainingBatches,
    validation: tuple[NDArray[np.uint8], NDArray[np.float32]],
    config: TrainingConfig,
    folder: Path,
    *,
    seed: int,
    verbose: int = 0,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network, or carry on where a killed run has left it.

    ``validation`` has images, uint8, shape (images, height, width, 1), and their targets. The
    folder has ``history.csv`` and ``checkpoints``. The seed is that of weights and dropout.
    Raises ``TrainingDiverged`` where the loss is no longer a number.

    Returns:
        The network with its best averaged weights, not compiled; and its history with the columns
        ``epoch``, from 1, ``loss``, the metric, and both as ``val_``.
    """
    keras.utils.set_random_seed(seed)
    keep = KeepBest(folder, network.metric().name, config)
    callbacks = [
        StartEpoch(batches, seed),
        keras.callbacks.TerminateOnNaN(raise_error=True),
        keep,
        # After it: at the end of a validation the averages are still in the network for it.
        *([keras.callbacks.SwapEMAWeights()] if config.ema_momentum else []),
    ]
    weights = None
    for number, stage in enumerate(stages(config)):
        if keep.finished:
            break
        kept = folder / "checkpoints" / f"stage-{number}"
        _repair_backup(kept)
        # Each stage has a model of its own: Keras keeps in a model at which epoch it was restored.
        fresh = weights is None and not kept.exists()
        model = network.start() if fresh and network.start else network.build()
        if weights is not None:
            model.set_weights(weights)
        compile_for_training(model, network, config, stage, len(batches))
        backup = keras.callbacks.BackupAndRestore(
            kept, double_checkpoint=True, delete_checkpoint=False
        )
        try:
            with write_errors(folder):
                # The batches have their own order, which a restarted run must meet again.
                model.fit(
                    batches,
                    validation_data=validation,
                    validation_batch_size=PREDICTED_AT_ONCE,
                    initial_epoch=stage.start,
                    epochs=stage.end,
                    shuffle=False,
                    verbose=verbose,
                    callbacks=[*callbacks, backup],
                )
        except RuntimeError as error:
            if "NaN or Inf" not in str(error):
                raise
            raise TrainingDiverged(
                f"The loss is no longer a number in epoch {len(keep.history) + 1}. "
                "Lower learning_rate, or head_learning_rate of the fine-tuning, in the recipe and "
                "train in a new workdir; the last good epoch is kept in this one."
            ) from error
        weights = model.get_weights()
    # The trained network holds the last weights; a fresh one gets the best averaged ones.
    trained = network.build()
    trained.set_weights(keep.best_weights())
    return trained, pd.DataFrame(keep.history)


def _repair_backup(folder: Path) -> None:
    """Replace a backup that a kill left half written by the one before, or remove it.

    Keras writes the weights, then which epoch they are of: a backup whose second file is missing,
    empty or older than its first one is of no epoch.
    """
    for suffix in ("", ".bkp"):
        weights, metadata = (folder / f"{name}{suffix}" for name in BACKUP)
        with contextlib.suppress(OSError, ValueError):
            json.loads(metadata.read_text())
            if metadata.stat().st_mtime_ns >= weights.stat().st_mtime_ns:
                for name in BACKUP if suffix else ():
                    shutil.copy(folder / f"{name}{suffix}", folder / name)
                return
    shutil.rmtree(folder, ignore_errors=True)


class StartEpoch(keras.callbacks.Callback):
    """Tell the batches which epoch it is, and start the dropout anew from it.

    What Keras tells the batches itself depends on the backend, and no checkpoint has the dropout's
    state.
    """

    def __init__(self, batches: TrainingBatches, seed: int) -> None:
        super().__init__()
        self._batches = batches
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:  # noqa: ARG002 - Keras's signature
        """Start one."""
        self._batches.start_epoch(epoch)
        states = [v for v in self.model.variables if v.name == "seed_generator_state"]
        for number, variable in enumerate(states):
            drawn = np.random.SeedSequence((self._seed, epoch, number)).generate_state(2)
            variable.assign(drawn.astype(variable.dtype))


class KeepBest(keras.callbacks.Callback):
    """Keep the weights of the best epoch, write the history, and stop when patience is over.

    All of it follows from ``history.csv`` in the training's folder, so that a run that was killed
    decides as the first would. ``monitor`` is the metric that says which epoch is the best.
    """

    def __init__(self, folder: Path, monitor: str, config: TrainingConfig) -> None:
        super().__init__()
        self._table = folder / "history.csv"
        self._best = folder / "checkpoints" / "best.npz"
        self._monitor = monitor
        self._config = config
        self.history: list[dict[str, float]] = []
        if self._table.is_file():
            self.history = pd.read_csv(self._table).to_dict("records")

    @property
    def finished(self) -> bool:
        """Whether no further epoch is asked for.

        Patience begins where the last stage does: before, most of the network has not learnt yet.
        """
        if not self.history:
            return False
        values = [row[f"val_{self._monitor}"] for row in self.history]
        best = max(values.index(max(values)) + 1, stages(self._config)[-1].start)
        done = len(values)
        return done >= self._config.epochs or done - best >= self._config.patience

    def on_test_end(self, logs: Logs = None) -> None:
        """Keep the weights of a validation that is better than all before."""
        best = max((row[f"val_{self._monitor}"] for row in self.history), default=-np.inf)
        if (logs or {})[self._monitor] > best or not self._best.is_file():
            with atomic_path(self._best) as draft:
                np.savez(draft, *self.model.get_weights())

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the history, and stop where it says so."""
        self.history = [*self.history[:epoch], {"epoch": epoch + 1, **(logs or {})}]
        with atomic_path(self._table) as draft:
            pd.DataFrame(self.history).to_csv(draft, index=False)
        self.model.stop_training = self.finished

    def best_weights(self) -> list[np.ndarray]:
        """The weights of the best epoch, in the order of ``model.get_weights()``."""
        try:
            with self._best.open("rb") as stream, np.load(stream) as content:
                return [content[name] for name in content.files]
        except (OSError, ValueError, BadZipFile) as error:
            raise WorkdirIncomplete(f"{self._best} cannot be read. Train again.") from error


def stages(config: TrainingConfig) -> tuple[Stage, ...]:
    """The stages of a training, one after the other: Howard 2018, ULMFiT (gradual unfreezing)."""
    tuning = config.fine_tuning
    if tuning is None:
        return (Stage(0, config.epochs, share=1),)
    tuned = Stage(tuning.head_epochs, config.epochs, tuning.share)
    if not tuning.head_epochs:
        return (tuned,)
    head = Stage(0, tuning.head_epochs, share=0, constant_rate=tuning.head_learning_rate)
    return head, tuned


def compile_for_training(
    model: keras.Model, network: Network, config: TrainingConfig, stage: Stage, steps_per_epoch: int
) -> None:
    """Make a training form ready for one stage: AdamW, with averaged weights if the recipe asks.

    Source: Loshchilov 2019, Decoupled Weight Decay Regularization; Polyak 1992 (averaging).
    """
    if any(layer.name == BACKBONE for layer in model.layers):
        _choose_learning_layers(
            model.get_layer(BACKBONE), stage.share, with_weights=network.start is not None
        )
    optimizer = keras.optimizers.AdamW(
        learning_rate(config, stage, steps_per_epoch),
        weight_decay=config.weight_decay,
        use_ema=config.ema_momentum is not None,
        ema_momentum=config.ema_momentum or 0.0,
    )
    model.compile(optimizer, network.loss, metrics=[network.metric()])
    # Made here, its variables can be restored, and TensorFlow traces the first step only once.
    optimizer.build(model.trainable_variables)


def learning_rate(
    config: TrainingConfig, stage: Stage, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A constant rate, or a warm-up and a cosine to the stage's end (Loshchilov 2017, SGDR)."""
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
    """Let the last layers of a backbone learn, but none that its general features come from."""
    weighted = [layer for layer in backbone.layers if layer.weights]
    general = [layer.output for layer in backbone.layers if layer.name == GENERAL]
    fixed = keras.Model(backbone.input, general).layers if general else []
    learning = weighted[len(weighted) - round(share * len(weighted)) :]
    for layer in weighted:
        # Batch normalisation that came with weights keeps its statistics, and with them its scale
        # and offset: a small data set would spoil them. Calling the backbone with
        # ``training=False`` does not do it, as Keras lets the outer model's argument win.
        kept = with_weights and isinstance(layer, layers.BatchNormalization)
        layer.trainable = layer in learning and layer not in fixed and not kept
