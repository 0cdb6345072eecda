"""The training of one network, from its last checkpoint to its best weights."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from training.acceleration import full_precision
from training.callbacks import CountSteps, StartEpochs, StopOnDivergence, ValidateAndKeep
from training.checkpoint import Checkpoints, TrainingState
from training.config import Recipe
from training.input_pipeline import WORKERS, ImageBatches, TrainingBatches
from training.models import build_classifier
from training.optimisation import compile_for_training, stages
from training.source import Source
from training.transfer import load_backbone_weights

OnEpoch = Callable[[TrainingState], None]


@dataclass(frozen=True, slots=True)
class MemberRun:
    """One network of a recipe's ensemble, and what it is trained with.

    ``source`` has been split. ``number`` counts from 0.
    """

    recipe: Recipe
    number: int
    source: Source
    folder: Path

    @property
    def seed(self) -> int:
        """Of the weights, the order and the augmentation."""
        return self.recipe.seed + self.number

    def batches(self, pool: Executor) -> TrainingBatches:
        """The training batches, made ahead in a pool."""
        config = self.recipe.training
        return TrainingBatches(
            self.source.images,
            self.source.rows("train"),
            self.source.classes,
            classes=len(self.recipe.data.classes),
            batch_size=config.batch_size,
            strata=self._strata(),
            images_per_epoch=config.images_per_epoch,
            augmentation=self.recipe.augmentation,
            seed=self.seed,
            pool=pool,
        )

    def _strata(self) -> NDArray[np.int64] | None:
        sampling = self.recipe.training.sampling
        if sampling == "natural":
            return None
        sources = self.source.sources
        return sources if sampling == "balanced-sources" else np.zeros_like(sources)


def train_member(
    run: MemberRun, on_steps: Callable[[int, int], None], on_epoch: OnEpoch
) -> tuple[keras.Model, TrainingState]:
    """Train one network, or carry on where a killed run has left it.

    Args:
        run: The network and its data.
        on_steps: Told how many steps are done, and how many there are.
        on_epoch: Told the state after each epoch, once it is kept.

    Returns:
        The network with its best weights, not compiled, and how the training went.

    Raises:
        RecipeError: The recipe asks for a network that cannot be built.
        TrainingDiverged: The loss is no longer a number.
        WorkdirError: A checkpoint cannot be written or read.
    """
    checkpoints = Checkpoints(run.folder)
    with ThreadPoolExecutor(WORKERS) as pool:
        state = _train(run, run.batches(pool), checkpoints, on_steps, on_epoch)
    # The trained network holds the last raw weights; a fresh one gets the best averaged ones.
    with full_precision():
        model = build_classifier(run.recipe)
    model.set_weights(checkpoints.load_best(state))
    return model, state


def _train(
    run: MemberRun,
    batches: TrainingBatches,
    checkpoints: Checkpoints,
    on_steps: Callable[[int, int], None],
    on_epoch: OnEpoch,
) -> TrainingState:
    recipe, config = run.recipe, run.recipe.training
    state = checkpoints.state()
    if state.finished:
        return state
    keras.utils.set_random_seed(run.seed)
    model = build_classifier(recipe)
    if not state.epochs_done:
        load_backbone_weights(model, recipe.model)
    validation = run.source.rows("validation")
    keep = ValidateAndKeep(
        checkpoints=checkpoints,
        state=state,
        batches=ImageBatches(run.source.images, validation),
        classes=run.source.classes[validation],
        config=config,
        member=run.number,
        on_epoch=on_epoch,
    )
    done, steps = (epochs * len(batches) for epochs in (state.epochs_done, config.epochs))
    callbacks = [
        StartEpochs(batches),
        StopOnDivergence(),
        CountSteps(done, lambda count: on_steps(count, steps)),
        keep,
    ]
    for stage in stages(config):
        if keep.state.finished or state.epochs_done > stage.end:
            continue
        compile_for_training(model, recipe, stage, len(batches))
        # A checkpoint has the optimizer of the stage that its epoch was in.
        if stage.start < state.epochs_done:
            checkpoints.restore(model)
        # The batches have their own order, which a restarted run must meet again.
        model.fit(
            batches,
            shuffle=False,
            initial_epoch=keep.state.epochs_done,
            epochs=stage.end,
            verbose=0,
            callbacks=callbacks,
        )
    return keep.state
