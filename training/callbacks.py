"""What happens during a training, beside the training."""

import math
import time
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from training.calibrate import mean_loss
from training.checkpoint import Checkpoints, Epoch, TrainingState, Weights
from training.config import TrainingConfig
from training.errors import TrainingDiverged
from training.input_pipeline import ImageBatches, TrainingBatches
from training.metrics import auroc, whole
from training.optimisation import stages

Logs = dict[str, float] | None


class StopOnDivergence(keras.callbacks.Callback):
    """Stop as soon as the loss is no longer a number: nothing good can follow."""

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:  # noqa: ARG002 - Keras's signature
        """Remember the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Look at the loss.

        Raises:
            TrainingDiverged: It is infinite or not a number.
        """
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise TrainingDiverged(
                f"The loss is no longer a number in epoch {self._epoch + 1}, batch {batch + 1}. "
                "Lower learning_rate, or head_learning_rate of the fine-tuning, in the recipe and "
                "train in a new workdir; "
                "the last good epoch is kept in this one."
            )


class StartEpochs(keras.callbacks.Callback):
    """Tell the batches which epoch it is; what Keras tells them itself depends on the backend."""

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:  # noqa: ARG002 - Keras's signature
        """Start one."""
        self._batches.start_epoch(epoch)


class CountSteps(keras.callbacks.Callback):
    """Tell a progress bar how many steps are done, those before a restart included.

    The optimizer's own count cannot be read here: under JAX it lies elsewhere during an epoch.
    """

    def __init__(self, done: int, on_steps: Callable[[int], None]) -> None:
        super().__init__()
        self._done = done
        self._on_steps = on_steps

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:  # noqa: ARG002 - Keras's signature
        """Count one."""
        self._done += 1
        self._on_steps(self._done)


class ValidateAndKeep(keras.callbacks.Callback):
    """After each epoch: validate the averaged weights, keep a checkpoint, stop if it is enough.

    Args:
        checkpoints: Where the state is kept.
        state: Where the training stands.
        batches: The validation images.
        classes: int, shape (validation images,): their true classes.
        config: The rules of early stopping and averaging.
        member: The number of this network, for the history.
        on_epoch: Told the state after each epoch, once it is kept.
    """

    def __init__(
        self,
        *,
        checkpoints: Checkpoints,
        state: TrainingState,
        batches: ImageBatches,
        classes: NDArray[np.int64],
        config: TrainingConfig,
        member: int,
        on_epoch: Callable[[TrainingState], None],
    ) -> None:
        super().__init__()
        self.state = state
        self._checkpoints = checkpoints
        self._batches = batches
        self._classes = classes
        self._config = config
        self._member = member
        self._on_epoch = on_epoch
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:  # noqa: ARG002 - Keras's signature
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Validate and keep.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        raw = self.model.get_weights()
        if self.model.optimizer.use_ema:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        averaged = self.model.get_weights()
        # JAX would otherwise let the prediction free memory that the optimizer's average shares.
        self.model.set_weights(averaged)
        logits = self.model.predict(self._batches, verbose=0)
        self.model.set_weights(raw)
        self._keep(self._row(epoch, logs or {}, logits), averaged)

    def _row(self, epoch: int, logs: dict[str, float], logits: NDArray[np.float32]) -> Epoch:
        return Epoch(
            member=self._member,
            epoch=epoch + 1,
            loss=float(logs["loss"]),
            validation_loss=mean_loss(logits, self._classes),
            validation_auroc=mean_auroc(logits, self._classes),
            learning_rate=float(self.model.optimizer.learning_rate),
            seconds=round(time.monotonic() - self._started, 3),
        )

    def _keep(self, row: Epoch, averaged: Weights) -> None:
        state = advanced(self.state, row, self._config)
        if state.best_epoch == row.epoch:
            self._checkpoints.save_best(averaged, row.epoch)
        self._checkpoints.save(self.model, state)
        self.state = state
        self.model.stop_training = state.finished
        self._on_epoch(state)


def advanced(state: TrainingState, row: Epoch, config: TrainingConfig) -> TrainingState:
    """The state after one more epoch: which epoch is the best, and whether to go on.

    Patience begins where the last stage does: before, most of the network has not learnt yet.
    """
    history = (*state.history, row)
    if config.monitor == "auroc":
        peak = max(history, key=lambda epoch: epoch.validation_auroc).epoch
    else:
        peak = min(history, key=lambda epoch: epoch.validation_loss).epoch
    waited = row.epoch - max(peak, stages(config)[-1].start)
    return TrainingState(
        history=history,
        best_epoch=row.epoch if config.keep == "last" else peak,
        finished=row.epoch >= config.epochs or waited >= config.patience,
    )


def mean_auroc(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """The AUROC of each class against the others, averaged.

    Args:
        logits: Shape (images, classes).
        classes: int, shape (images,).
    """
    scores = logits - logits.mean(axis=1, keepdims=True)
    everyone = whole(len(classes))
    return float(
        np.mean([auroc(scores[:, c], classes == c, everyone)[0] for c in range(logits.shape[1])])
    )
