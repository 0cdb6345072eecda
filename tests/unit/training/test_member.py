from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.training_data import tiny_recipe
from training.checkpoint import TrainingState
from training.config import Recipe
from training.datasets import Dataset
from training.errors import RecipeError
from training.member import MemberRun, train_member
from training.models import build_classifier
from training.source import Source

EPOCHS, HEAD_EPOCHS = 4, 2
TRAINING, VALIDATION = 32, 16


class Killed(BaseException):
    pass


class Training(NamedTuple):
    folder: Path
    model: keras.Model
    state: TrainingState


def two_classes() -> Source:
    classes = np.arange(TRAINING + VALIDATION) % 2
    images = np.random.default_rng(0).integers(0, 128, (len(classes), 32, 32, 1), dtype=np.uint8)
    images[classes == 1, :16] += 40
    table = pd.DataFrame({"split": ["train"] * TRAINING + ["validation"] * VALIDATION})
    dataset = Dataset(name="noise", licence="none", root=Path(), table=table)
    return Source(dataset, "sha256:0", table, images, classes, np.zeros_like(classes))


def fine_tuned(weights: Path | str) -> Recipe:
    tuning = {"head_epochs": HEAD_EPOCHS, "head_learning_rate": 0.03, "share": 0.34}
    return tiny_recipe(
        model={"backbone": "cnn3", "width": 2, "weights": str(weights)},
        training={"epochs": EPOCHS, "learning_rate": 0.02, "fine_tuning": tuning},
    )


def train(recipe: Recipe, folder: Path, killed_after: int | None = None) -> Training:
    def on_epoch(state: TrainingState) -> None:
        if state.epochs_done == killed_after:
            raise Killed

    run = MemberRun(recipe, 0, two_classes(), folder)
    return Training(folder, *train_member(run, lambda *_: None, on_epoch))


def figures(state: TrainingState) -> NDArray[np.float64]:
    return np.array(
        [
            (row.epoch, row.loss, row.validation_loss, row.validation_auroc, row.learning_rate)
            for row in state.history
        ]
    )


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the backbone that is to be fine-tuned."""
    keras.utils.set_random_seed(11)
    path = tmp_path_factory.mktemp("earlier") / "model.keras"
    build_classifier(fine_tuned("none")).save(path)
    return path


@pytest.fixture(scope="module")
def whole(earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(fine_tuned(earlier), tmp_path_factory.mktemp("whole"))


def test_the_head_learns_alone_and_at_its_own_rate_first(whole: Training) -> None:
    rates = [row.learning_rate for row in whole.state.history]

    assert rates[:HEAD_EPOCHS] == pytest.approx([0.03] * HEAD_EPOCHS)
    assert rates[HEAD_EPOCHS:] == pytest.approx([0.02, 0.0002])
    assert len(rates) == EPOCHS


def test_fine_tuning_changes_the_last_layers_and_no_statistics(
    earlier: Path, whole: Training
) -> None:
    before = keras.saving.load_model(earlier, compile=False).get_layer("backbone")
    after = whole.model.get_layer("backbone")

    changed = [
        number
        for number, (old, new) in enumerate(zip(before.weights, after.weights, strict=True))
        if not np.array_equal(old, new)
    ]

    kernels = [number for number, old in enumerate(before.weights) if old.name == "kernel"]
    assert changed == kernels[-1:]


@pytest.mark.parametrize("killed_after", [1, HEAD_EPOCHS, 3])
def test_a_training_killed_in_either_stage_carries_on_as_if_it_had_never_stopped(
    killed_after: int, earlier: Path, whole: Training, tmp_path: Path
) -> None:
    weights = tmp_path / "model.keras"
    weights.write_bytes(earlier.read_bytes())
    with pytest.raises(Killed):
        train(fine_tuned(weights), tmp_path / "run", killed_after)
    # What the backbone began with is in the checkpoint; nobody needs the file again.
    weights.unlink()

    resumed = train(fine_tuned(weights), tmp_path / "run")

    np.testing.assert_allclose(figures(resumed.state), figures(whole.state), rtol=1e-4)
    arrays = zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True)
    for one, other in arrays:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_finished_training_takes_no_other_step(earlier: Path, whole: Training) -> None:
    again = train(fine_tuned(earlier), whole.folder, killed_after=1)

    assert again.state == whole.state


def test_weights_that_are_not_there_stop_a_training_at_its_start(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no file of weights .*--weights PATH"):
        train(fine_tuned(tmp_path / "nowhere.keras"), tmp_path)
