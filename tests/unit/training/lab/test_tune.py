import io
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.training_data import tiny_recipe, write_kermany
from training.config import Recipe, read_recipe
from training.errors import TrainingDiverged, WorkdirIncomplete, WorkdirMismatch
from training.lab.tune import STUDY, for_trials, search_space, tune, with_values

FIT = "training.lab.tune.fit_classifier"
FINE_TUNED: dict[str, dict[str, object]] = {
    "model": {"backbone": "mobilenetv2", "weights": "imagenet", "standardisation": "imagenet"},
    "training": {
        "epochs": 12,
        "warmup_epochs": 2,
        "fine_tuning": {"head_epochs": 4, "head_learning_rate": 1e-3, "share": 0.5},
    },
}


def searched(
    data: Path, workdir: Path, trials: int = 1, epochs: int = 1, told: io.StringIO | None = None
) -> tuple[Path, float]:
    console = Console(file=told or io.StringIO())
    return tune(tiny_recipe(), data, workdir, trials=trials, epochs=epochs, console=console)


def instantly(*_: object) -> tuple[None, pd.DataFrame]:
    return None, pd.DataFrame({"epoch": [1], "val_auroc": [0.9]})


@pytest.mark.parametrize(
    "recipe",
    [
        tiny_recipe(),
        tiny_recipe(model={"width": 1, "dropout": 0.123}, training={"weight_decay": 0.0}),
        tiny_recipe(**FINE_TUNED),
    ],
    ids=["own", "odd values", "fine-tuned"],
)
def test_every_combination_is_a_valid_recipe_and_its_own_values_are_one(recipe: Recipe) -> None:
    space = search_space(recipe)
    draw = np.random.default_rng(0)
    drawn = [
        with_values(recipe, {place: of[draw.integers(len(of))] for place, of in space.items()})
        for _ in range(40)
    ]
    own = {place: attrgetter(place)(recipe) for place in space}

    assert all(own[place] in values for place, values in space.items())
    assert with_values(recipe, own) == recipe
    assert len(set(map(Recipe.model_dump_json, drawn))) == 40


def test_weights_to_start_from_keep_their_standardisation() -> None:
    places = search_space(tiny_recipe(**FINE_TUNED)).keys()

    assert {"training.learning_rate", "augmentation.strength"} <= set(places)
    assert places.isdisjoint({"model.standardisation", "model.width"})


def test_the_stages_of_a_trial_are_as_long_in_proportion() -> None:
    short = for_trials(tiny_recipe(**FINE_TUNED), epochs=6).training

    assert (short.epochs, short.warmup_epochs) == (6, 1)
    assert short.fine_tuning is not None
    assert short.fine_tuning.head_epochs == 2
    for epochs in (1, 2, 5, 50):
        assert for_trials(tiny_recipe(**FINE_TUNED), epochs).training.epochs == epochs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_kermany(root, "train", images_per_class=12)
    return root


def test_a_damaged_memory_of_a_search_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / STUDY).write_bytes(b"no database" * 100)

    with pytest.raises(WorkdirIncomplete, match=r"trials\.sqlite cannot be used.*Remove it"):
        searched(data, tmp_path)


def test_the_winner_is_a_recipe_that_can_be_trained(data: Path, tmp_path: Path) -> None:
    told = io.StringIO()

    path, auroc = searched(data, tmp_path, trials=2, told=told)

    table = pd.read_csv(tmp_path / "trials.csv")
    assert path.name == "tiny-tuned.toml"
    assert read_recipe(str(path)).training.epochs == tiny_recipe().training.epochs
    assert auroc == table["value"].max()
    assert table["state"].tolist() == ["COMPLETE", "COMPLETE"]
    assert "trial 2: validation AUROC" in told.getvalue()
    assert not list((tmp_path / "trials").iterdir())


def test_the_first_trial_is_the_recipe_as_it_is_and_others_find_better_values(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Recipe] = []

    def prefers_much_dropout(recipe: Recipe, *_: object) -> tuple[None, pd.DataFrame]:
        tried.append(recipe)
        return None, pd.DataFrame({"val_auroc": [0.5 + recipe.model.dropout]})

    monkeypatch.setattr(FIT, prefers_much_dropout)
    path, _ = searched(data, tmp_path, trials=12, epochs=2)

    assert tried[0] == tiny_recipe()
    dropout = read_recipe(str(path)).model.dropout
    assert dropout == max(one.model.dropout for one in tried)
    assert dropout > tried[0].model.dropout


def test_a_finished_search_trains_nothing_again_until_more_is_asked_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FIT, instantly)
    first = searched(data, tmp_path)
    monkeypatch.setattr(FIT, None)

    again = searched(data, tmp_path)
    monkeypatch.setattr(FIT, instantly)
    searched(data, tmp_path, trials=2)

    assert again == first
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 2
    # Trials of another length need another workdir.
    with pytest.raises(WorkdirMismatch, match="another recipe"):
        searched(data, tmp_path, epochs=2)


def test_the_trial_that_was_killed_comes_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def killed_at_first(recipe: Recipe, *_: object) -> tuple[None, pd.DataFrame]:
        tried.append(recipe)
        if len(tried) == 1:
            raise KeyboardInterrupt
        return instantly()

    monkeypatch.setattr(FIT, killed_at_first)
    with pytest.raises(KeyboardInterrupt):
        searched(data, tmp_path, epochs=3)
    searched(data, tmp_path, epochs=3)

    assert len(tried) == 2
    assert tried[0] == tried[1]


def test_trials_that_diverge_are_left_behind(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise TrainingDiverged("The loss is no longer a number in epoch 1.")

    monkeypatch.setattr(FIT, diverge)
    with pytest.raises(TrainingDiverged, match="No trial has a result"):
        searched(data, tmp_path, trials=5)
    assert pd.read_csv(tmp_path / "trials.csv")["state"].tolist() == ["PRUNED"] * 5
