from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training_data import tiny_recipe
from training.callbacks import StopOnDivergence, advanced, mean_auroc
from training.checkpoint import Checkpoints, Epoch, TrainingState
from training.config import Recipe
from training.errors import TrainingDiverged, WorkdirIncomplete
from training.models import build_classifier
from training.optimisation import compile_for_training, stages

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)
TARGETS = np.eye(2, dtype=np.float32)[[0, 1] * 4]


def compiled(recipe: Recipe) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe)
    [stage] = stages(recipe.training)
    compile_for_training(model, recipe, stage, steps_per_epoch=3)
    # Tracing a graph would take far longer than the few steps of a test.
    model.run_eagerly = True
    return model


def steps(model: keras.Model, count: int) -> list[float]:
    return [float(model.train_on_batch(IMAGES, TARGETS)) for _ in range(count)]


def row(epoch: int, auroc: float = 0.5, loss: float = 1.0) -> Epoch:
    return Epoch(
        member=0,
        epoch=epoch,
        loss=0.1,
        validation_loss=loss,
        validation_auroc=auroc,
        learning_rate=0.1,
        seconds=1,
    )


def after(aurocs: list[float], **training: object) -> TrainingState:
    config = tiny_recipe(training={"epochs": 10, "patience": 3, **training}).training
    state = TrainingState()
    for epoch, auroc in enumerate(aurocs, start=1):
        state = advanced(state, row(epoch, auroc, loss=auroc), config)
    return state


def test_a_restored_training_takes_the_same_steps(tmp_path: Path) -> None:
    recipe = tiny_recipe(model={"dropout": 0.5})
    model, checkpoints = compiled(recipe), Checkpoints(tmp_path)
    steps(model, 2)
    checkpoints.save(model, TrainingState(history=(row(1),), best_epoch=1))
    expected = steps(model, 3)

    other = compiled(recipe)
    checkpoints.restore(other)

    assert checkpoints.state() == TrainingState(history=(row(1),), best_epoch=1)
    assert steps(other, 3) == pytest.approx(expected, rel=1e-5)
    averages = [v for v in other.optimizer.variables if "average" in v.path]
    assert averages
    for variable, original in zip(
        other.optimizer.variables, model.optimizer.variables, strict=True
    ):
        np.testing.assert_allclose(variable, original, atol=1e-5)


def test_without_a_checkpoint_a_training_begins(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).state() == TrainingState()


def test_a_checkpoint_of_another_network_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(compiled(tiny_recipe()), TrainingState())
    other = compiled(tiny_recipe(model={"width": 5}))

    with pytest.raises(WorkdirIncomplete, match="another network"):
        checkpoints.restore(other)
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(WorkdirIncomplete, match="Remove it"):
        checkpoints.state()


def test_only_the_best_weights_are_kept(tmp_path: Path) -> None:
    checkpoints, model = Checkpoints(tmp_path), compiled(tiny_recipe())
    weights = model.get_weights()
    checkpoints.save_best(weights, epoch=1)
    checkpoints.save_best([2 * array for array in weights], epoch=2)
    checkpoints.save(model, TrainingState(best_epoch=2))

    kept = checkpoints.load_best(TrainingState(best_epoch=2))

    for array, original in zip(kept, weights, strict=True):
        np.testing.assert_array_equal(array, 2 * original)
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-0002.npz"]
    with pytest.raises(WorkdirIncomplete):
        checkpoints.load_best(TrainingState(best_epoch=1))


def test_the_best_epoch_is_that_of_the_highest_auroc() -> None:
    assert after([0.7, 0.9, 0.8]).best_epoch == 2


def test_or_that_of_the_lowest_loss_where_the_recipe_says_so() -> None:
    assert after([0.7, 0.9, 0.6, 0.8], monitor="loss").best_epoch == 3


def test_or_always_the_last_one() -> None:
    assert after([0.7, 0.9, 0.8], keep="last").best_epoch == 3


def test_a_training_stops_once_patience_is_at_an_end() -> None:
    assert not after([0.7, 0.9, 0.8, 0.8]).finished
    assert after([0.7, 0.9, 0.8, 0.8, 0.8]).finished


def test_patience_begins_with_the_last_stage() -> None:
    tuning = {"head_epochs": 4, "head_learning_rate": 0.1, "share": 0.5}

    assert not after([0.9, 0.8, 0.8, 0.8, 0.8, 0.8], fine_tuning=tuning).finished
    assert after([0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], fine_tuning=tuning).finished


def test_a_training_stops_after_its_last_epoch() -> None:
    rising = [0.1, 0.2, 0.3, 0.4]

    assert not after(rising, epochs=5).finished
    assert after(rising, epochs=4).finished


def test_a_loss_that_is_no_number_stops_with_advice() -> None:
    stop = StopOnDivergence()
    stop.on_epoch_begin(2)
    stop.on_train_batch_end(4, {"loss": 3.5})

    with pytest.raises(TrainingDiverged, match=r"epoch 3, batch 6.*learning_rate"):
        stop.on_train_batch_end(5, {"loss": float("nan")})


def test_the_auroc_of_logits_does_not_mind_a_common_offset() -> None:
    margin = np.array([3.0, 1.0, 2.0, 0.0], np.float32)
    offset = np.array([0.0, 50.0, -20.0, 9.0], np.float32)
    logits = np.stack([offset - margin, offset + margin], axis=1)

    assert mean_auroc(logits, np.array([1, 0, 1, 0])) == 1.0
    assert mean_auroc(logits, np.array([1, 1, 0, 0])) == pytest.approx(0.75)
