"""Train the segmenter into a workdir; a killed run carries on after its last whole epoch."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from contract.manifest import Provenance
from training.callbacks import CountSteps, StartEpochs, StopOnDivergence
from training.lungs.batches import LungBatches
from training.lungs.checkpoint import LungEpoch, LungState, restore_checkpoint, save_checkpoint
from training.lungs.dataset import LungImages, list_lung_images, load_lung_images, mask_digest
from training.lungs.dice import dice
from training.lungs.network import build_segmenter, overlap_loss
from training.lungs.recipe import OptimisationConfig, SegmenterRecipe
from training.lungs.workdir import LungWorkdir
from training.progress import progress_bar
from training.provenance import framework, git_revision
from training.splits import drawn_splits

Logs = dict[str, float] | None


def fit_lungs(recipe: SegmenterRecipe, data: Path, workdir: Path, console: Console) -> None:
    """Train the segmenter, or carry on where a killed run has left it.

    Args:
        recipe: All that decides the training.
        data: The folder of covid-chestxray-dataset, or the one above it.
        workdir: Where everything is written; created where it is missing.
        console: Where progress is shown.

    Raises:
        DataError: The data set cannot be used.
        WorkdirError: The workdir belongs to another training, or cannot be written.
        TrainingDiverged: The loss is no longer a number.
    """
    work = LungWorkdir(workdir)
    dataset = list_lung_images(data)
    digest = mask_digest(dataset)
    work.bind(recipe, digest)
    source = load_lung_images(dataset, recipe.preprocessing)
    for path, reason in source.unreadable.items():
        console.print(f"{path} is left out: {reason}", highlight=False, soft_wrap=True)
    table = _split(recipe, source, work)
    model = _train(recipe, source, table, work, console)
    work.finish(model, _provenance(recipe, source, table, digest))


def _split(recipe: SegmenterRecipe, source: LungImages, work: LungWorkdir) -> pd.DataFrame:
    """Split, or keep to the split of the run that is carried on, whoever has changed the rules."""
    if work.split_table.is_file():
        return work.read_split(source.dataset.table)
    table = drawn_splits(source.dataset.table, source.images, recipe.split, recipe.seed)
    work.write_table(work.split_table, table)
    return table


class _ValidateAndKeep(keras.callbacks.Callback):
    """After each epoch: measure the averaged weights on the validation split, keep a checkpoint."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        masks: NDArray[np.uint8],
        state: LungState,
        on_epoch: Callable[[LungState, keras.Model], None],
    ) -> None:
        super().__init__()
        self._images = images
        self._truth = masks[..., 0] > 127
        self._state = state
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
        self.model.set_weights(averaged_weights(self.model))
        logits = self.model.predict(self._images, verbose=0)
        self.model.set_weights(raw)
        row = LungEpoch(
            epoch=epoch + 1,
            loss=float((logs or {})["loss"]),
            validation_dice=float(dice(logits[..., 0] > 0, self._truth).mean()),
            seconds=round(time.monotonic() - self._started, 3),
        )
        self._state = LungState(history=(*self._state.history, row))
        self._on_epoch(self._state, self.model)


def averaged_weights(model: keras.Model) -> list[NDArray[np.float32]]:
    """The weights that the optimizer has averaged over the steps; the model keeps its own."""
    raw = model.get_weights()
    model.optimizer.finalize_variable_values(model.trainable_variables)
    averaged = model.get_weights()
    model.set_weights(raw)
    return averaged


def _train(
    recipe: SegmenterRecipe,
    source: LungImages,
    table: pd.DataFrame,
    work: LungWorkdir,
    console: Console,
) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    model = build_segmenter(recipe)
    _compile(model, recipe.training)
    state = restore_checkpoint(work.checkpoint, model)
    done = len(state.history)
    train, validation = (
        table.index[table["split"] == split].to_numpy() for split in ("train", "validation")
    )
    batches = LungBatches(
        source.images[train],
        source.masks[train],
        training=recipe.training,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
    )

    def on_epoch(state: LungState, model: keras.Model) -> None:
        save_checkpoint(work.checkpoint, model, state)
        history = pd.DataFrame([row.model_dump() for row in state.history])
        work.write_table(work.root / "history.csv", history)
        line = epoch_line(state.history[-1], recipe.training.epochs)
        console.print(line, highlight=False, soft_wrap=True)

    keep = _ValidateAndKeep(source.images[validation], source.masks[validation], state, on_epoch)
    with progress_bar(console) as bar:
        task = bar.add_task("training", total=recipe.training.epochs * len(batches))
        counted = CountSteps(done * len(batches), lambda count: bar.update(task, completed=count))
        # The batches have their own order, which a restarted run must meet again.
        model.fit(
            batches,
            shuffle=False,
            initial_epoch=done,
            epochs=recipe.training.epochs,
            verbose=0,
            callbacks=[StartEpochs(batches), StopOnDivergence(), counted, keep],
        )
    trained = build_segmenter(recipe)
    trained.set_weights(averaged_weights(model))
    return trained


def epoch_line(row: LungEpoch, epochs: int) -> str:
    """One line about an epoch, for the terminal and for logs."""
    return (
        f"epoch {row.epoch}/{epochs}: loss {row.loss:.4f}, "
        f"validation Dice {row.validation_dice:.4f}, {row.seconds:.1f} s"
    )


def _compile(model: keras.Model, config: OptimisationConfig) -> None:
    steps = config.steps_per_epoch
    warmup = config.warmup_epochs * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else config.learning_rate,
        decay_steps=config.epochs * steps - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        use_ema=True,
        ema_momentum=config.ema_momentum,
    )
    model.compile(optimizer, overlap_loss)
    # Made here, its variables can be restored, and TensorFlow traces the first step only once.
    optimizer.build(model.trainable_variables)


def _provenance(
    recipe: SegmenterRecipe, source: LungImages, table: pd.DataFrame, digest: str
) -> Provenance:
    counts = table["split"].value_counts()
    return Provenance(
        recipe=recipe.name,
        dataset=source.dataset.name,
        licence=source.dataset.licence,
        training_images=int(counts["train"]),
        validation_images=int(counts["validation"]),
        data_digest=digest,
        git_revision=git_revision(),
        framework=framework(),
        trained_at=datetime.now(UTC).replace(microsecond=0),
    )
