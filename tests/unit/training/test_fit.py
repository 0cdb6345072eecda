from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest

from tests.training_data import tiny_recipe
from training.backbones import APPLICATIONS, cnn3
from training.config import Recipe
from training.datasets import Dataset
from training.errors import WorkdirIncomplete
from training.fit import (
    BACKUP,
    KeepBest,
    Network,
    Stage,
    compile_for_training,
    learning_rate,
    stages,
)
from training.models import build_classifier
from training.source import Source
from training.train import fit_classifier

EPOCHS, HEAD_EPOCHS = 4, 2
TRAINING, VALIDATION = 32, 16
TUNING = {"head_epochs": 3, "head_learning_rate": 0.5, "share": 0.5}
SCHEDULE = {
    "epochs": 10,
    "warmup_epochs": 2,
    "learning_rate": 0.1,
    "initial_learning_rate": 0.1,
    "final_learning_rate": 0.01,
}


class Killed(BaseException):
    pass


class Training(NamedTuple):
    folder: Path
    model: keras.Model
    history: pd.DataFrame


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
        model={"backbone": "mobilenetv2", "weights": str(weights), "dropout": 0.5},
        training={"epochs": EPOCHS, "learning_rate": 0.02, "fine_tuning": tuning},
    )


def train(recipe: Recipe, folder: Path) -> Training:
    return Training(folder, *fit_classifier(recipe, two_classes(), folder))


def killed(recipe: Recipe, folder: Path, epoch: int, when: str) -> None:
    """Train until an epoch has been validated, or until its backup is written."""

    class Dying(keras.callbacks.BackupAndRestore):  # type: ignore[misc]
        def on_epoch_end(self, epoch_index: int, logs: Any = None) -> None:
            if when == "before its backup" and epoch_index + 1 == epoch:
                raise Killed
            super().on_epoch_end(epoch_index, logs)
            if epoch_index + 1 == epoch:
                raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keras.callbacks, "BackupAndRestore", Dying)
        with pytest.raises(Killed):
            train(recipe, folder)


def tiny_network(*, input_shape: tuple[int, int, int], weights: str | None = None) -> keras.Model:
    """Stands for a network that comes with weights; it is fast, and has layers of each kind."""
    standardised = keras.Input(input_shape)
    model = keras.Model(standardised, cnn3(standardised, 2))
    if weights is not None:
        model.load_weights(weights)
    return model


@pytest.fixture(scope="module", autouse=True)
def _with_a_tiny_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(APPLICATIONS, "mobilenetv2", tiny_network)
        yield


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that are to be fine-tuned."""
    keras.utils.set_random_seed(11)
    path = tmp_path_factory.mktemp("earlier") / "tiny.weights.h5"
    tiny_network(input_shape=(32, 32, 3)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def whole(earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(fine_tuned(earlier), tmp_path_factory.mktemp("whole"))


def test_a_training_leaves_its_history_and_the_weights_of_its_best_epoch(whole: Training) -> None:
    best = whole.history["val_auroc"].idxmax()

    assert whole.history["epoch"].tolist() == [1, 2, 3, 4]
    assert np.isfinite(whole.history.to_numpy()).all()
    source = two_classes()
    truth = np.eye(2)[source.classes[TRAINING:]]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    logits = whole.model.predict(source.images[TRAINING:], verbose=0)
    assert float(loss(truth, logits)) == pytest.approx(whole.history["val_loss"][best], rel=1e-4)


def test_fine_tuning_changes_the_last_layers_and_no_statistics(
    earlier: Path, whole: Training
) -> None:
    before = tiny_network(input_shape=(32, 32, 3), weights=str(earlier))
    after = whole.model.get_layer("backbone")

    changed = [
        number
        for number, (old, new) in enumerate(zip(before.weights, after.weights, strict=True))
        if not np.array_equal(old, new)
    ]
    kernels = [number for number, old in enumerate(before.weights) if old.name == "kernel"]
    assert set(changed) <= set(kernels[-1:])


@pytest.mark.parametrize(
    ("epoch", "when"),
    [(1, "after"), (HEAD_EPOCHS, "after"), (3, "after"), (3, "before its backup")],
)
def test_a_training_killed_in_either_stage_carries_on_as_if_it_had_never_stopped(
    epoch: int, when: str, earlier: Path, whole: Training, tmp_path: Path
) -> None:
    weights = tmp_path / "tiny.weights.h5"
    weights.write_bytes(earlier.read_bytes())
    killed(fine_tuned(weights), tmp_path / "run", epoch, when)
    # What the backbone began with is in the checkpoint; nobody needs the file again.
    weights.unlink()

    resumed = train(fine_tuned(weights), tmp_path / "run")

    pd.testing.assert_frame_equal(resumed.history, whole.history, rtol=1e-3)
    arrays = zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True)
    for one, other in arrays:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("epoch", "when", "damaged"),
    [
        # There is no whole backup yet: it begins again.
        (1, "before its backup", BACKUP[0]),
        # The one before stands in.
        *((HEAD_EPOCHS, "after", name) for name in BACKUP),
    ],
)
def test_a_backup_that_was_half_written_is_not_used(
    epoch: int, when: str, damaged: str, earlier: Path, whole: Training, tmp_path: Path
) -> None:
    killed(fine_tuned(earlier), tmp_path, epoch, when)
    file = tmp_path / "checkpoints" / "stage-0" / damaged
    file.parent.mkdir(parents=True, exist_ok=True)
    whole_file = file.read_bytes() if file.is_file() else b"half of it"
    file.write_bytes(whole_file[:1000] if damaged == BACKUP[0] else b"")

    resumed = train(fine_tuned(earlier), tmp_path)

    pd.testing.assert_frame_equal(resumed.history, whole.history, rtol=1e-3)


def test_a_finished_training_takes_no_other_step(earlier: Path, whole: Training) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keras.Model, "fit", None)
        again = train(fine_tuned(earlier), whole.folder)

    pd.testing.assert_frame_equal(again.history, whole.history)


def test_best_weights_that_are_damaged_are_said_so(earlier: Path, tmp_path: Path) -> None:
    train(fine_tuned(earlier), tmp_path)
    (tmp_path / "checkpoints" / "best.npz").write_bytes(b"PK\x03\x04 half of it")

    with pytest.raises(WorkdirIncomplete, match=r"best\.npz cannot be read"):
        train(fine_tuned(earlier), tmp_path)


@pytest.mark.parametrize(
    ("aurocs", "training", "finished"),
    [
        ([0.7, 0.9, 0.8, 0.8], {}, False),
        ([0.7, 0.9, 0.8, 0.8, 0.8], {}, True),
        # Patience begins with the last stage.
        ([0.9, 0.8, 0.8, 0.8, 0.8, 0.8], {"fine_tuning": TUNING | {"head_epochs": 4}}, False),
        ([0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], {"fine_tuning": TUNING | {"head_epochs": 4}}, True),
        ([0.1, 0.2, 0.3, 0.4], {"epochs": 5}, False),
        ([0.1, 0.2, 0.3, 0.4], {"epochs": 4}, True),
    ],
)
def test_a_training_stops_after_its_patience_or_its_last_epoch(
    tmp_path: Path, aurocs: list[float], training: dict[str, object], *, finished: bool
) -> None:
    config = tiny_recipe(training={"epochs": 10, "patience": 3, **training}).training
    table = pd.DataFrame({"epoch": range(1, len(aurocs) + 1), "val_auroc": aurocs})
    table.to_csv(tmp_path / "history.csv", index=False)

    assert KeepBest(tmp_path, "auroc", config).finished == finished


def three_layers(weights: str = "none", **tuning: object) -> Recipe:
    return tiny_recipe(
        model={"backbone": "cnn3", "width": 2, "weights": weights},
        training={**SCHEDULE, **({"fine_tuning": {**TUNING, **tuning}} if tuning else {})},
    )


def learning(recipe: Recipe, stage: Stage) -> list[str]:
    """The kinds of the layers of the backbone that learn, each with its number in its kind."""
    model = build_classifier(recipe)
    network = Network(
        build=lambda: model,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metric=lambda: keras.metrics.AUC(name="auroc"),
        start=None if recipe.model.weights == "none" else lambda: model,
    )
    compile_for_training(model, network, recipe.training, stage, steps_per_epoch=5)
    layers = [layer for layer in model.get_layer("backbone").layers if layer.weights]
    names = ["conv 1", "norm 1", "conv 2", "norm 2", "conv 3", "norm 3"]
    assert model.get_layer("evidence").trainable_variables
    return [name for name, layer in zip(names, layers, strict=True) if layer.trainable_variables]


def rates(recipe: Recipe, stage: Stage, steps: tuple[int, ...]) -> list[float]:
    schedule = learning_rate(recipe.training, stage, steps_per_epoch=5)
    assert callable(schedule)
    return [float(schedule(step)) for step in steps]


def test_without_fine_tuning_everything_learns_and_the_rate_rises_and_falls() -> None:
    recipe = three_layers()
    [stage] = stages(recipe.training)

    assert stage == Stage(0, 10, share=1)
    assert len(learning(recipe, stage)) == 6
    expected = [0.01, 0.055, 0.1, 0.0505, 0.001]
    assert rates(recipe, stage, (0, 5, 10, 30, 50)) == pytest.approx(expected, rel=1e-3)


def test_fine_tuning_begins_with_the_head_and_then_the_last_layers_learn() -> None:
    recipe = three_layers(share=0.5)
    head, tuned = stages(recipe.training)

    assert (head.start, head.end, tuned.start, tuned.end) == (0, 3, 3, 10)
    assert learning(recipe, head) == []
    assert learning_rate(recipe.training, head, steps_per_epoch=5) == 0.5
    assert learning(recipe, tuned) == ["norm 2", "conv 3", "norm 3"]
    assert rates(recipe, tuned, (0, 10, 35)) == pytest.approx([0.01, 0.1, 0.001], rel=1e-3)
    # Batch normalisation that came with weights is kept.
    assert learning(three_layers(weights="earlier/model.keras", share=0.5), tuned) == ["conv 3"]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.34, 2), (1.0, 6)])
def test_the_share_counts_layers_that_can_learn(share: float, count: int) -> None:
    recipe = three_layers(head_epochs=0, share=share)
    [stage] = stages(recipe.training)

    assert len(learning(recipe, stage)) == count
