import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.training_data import tiny_recipe, write_kermany
from training import member
from training.checkpoint import TrainingState
from training.config import Recipe, read_recipe
from training.errors import TrainingDiverged, WorkdirIncomplete, WorkdirMismatch
from training.models import build_classifier
from training.recipe_file import write_recipe
from training.tune import tune
from training.tune.oracle import TrialOracle
from training.tune.search_space import for_trials, search_space, with_values

FINE_TUNED: dict[str, dict[str, object]] = {
    "model": {"backbone": "mobilenetv2", "weights": "imagenet", "standardisation": "imagenet"},
    "training": {
        "epochs": 12,
        "warmup_epochs": 2,
        "members": 3,
        "fine_tuning": {"head_epochs": 4, "head_learning_rate": 1e-3, "share": 0.5},
    },
}


def quiet() -> Console:
    return Console(file=io.StringIO())


def oracle(folder: Path, trials: int, recipe: Recipe | None = None) -> TrialOracle:
    recipe = recipe or tiny_recipe()
    return TrialOracle(folder / "search.json", search_space(recipe), trials, recipe.seed)


def run(oracle: TrialOracle, count: int) -> list[dict[str, Any]]:
    """Some trials whose score follows from the dropout alone."""
    tried = []
    for _ in range(count):
        trial = oracle.next_trial()
        assert trial is not None
        values = dict(trial.hyperparameters.values)
        tried.append(values)
        oracle.end(trial, 1 - abs(values["model.dropout"] - 0.4))
    return tried


@pytest.mark.parametrize(
    "recipe",
    [
        tiny_recipe(),
        tiny_recipe(model={"width": 1, "dropout": 0.123}, training={"weight_decay": 0.0}),
        tiny_recipe(model={"border": 16}, preprocessing={"height": 64, "width": 64}),
        tiny_recipe(**FINE_TUNED),
    ],
    ids=["own", "odd values", "border", "fine-tuned"],
)
def test_every_combination_is_a_valid_recipe_and_its_own_values_are_one(recipe: Recipe) -> None:
    space = search_space(recipe)
    defaults = {one.name: one.default for one in space.space}
    draw = np.random.default_rng(0)
    drawn = [
        with_values(recipe, {one.name: draw.choice(one.values).item() for one in space.space})
        for _ in range(40)
    ]

    assert with_values(recipe, defaults) == recipe
    assert len(set(map(Recipe.model_dump_json, drawn))) == 40
    for border in {one.model.border for one in drawn}:
        build_classifier(next(one for one in drawn if one.model.border == border))


def test_a_border_is_tried_where_the_network_can_have_one() -> None:
    large = tiny_recipe(preprocessing={"height": 192, "width": 192})

    borders = {one.name: one.values for one in search_space(large).space}["model.border"]

    assert borders == [0, 16, 32]


def test_weights_to_start_from_keep_their_standardisation() -> None:
    places = {one.name for one in search_space(tiny_recipe(**FINE_TUNED)).space}

    assert {"training.learning_rate", "augmentation.strength"} <= places
    assert places.isdisjoint({"model.standardisation", "model.width"})


def test_a_trial_is_one_network_whose_stages_are_as_long_in_proportion() -> None:
    short = for_trials(tiny_recipe(**FINE_TUNED), epochs=6).training

    assert (short.epochs, short.members, short.warmup_epochs) == (6, 1, 1)
    assert short.fine_tuning is not None
    assert short.fine_tuning.head_epochs == 2


@pytest.mark.parametrize("epochs", [1, 2, 5, 50])
def test_any_number_of_epochs_makes_a_valid_trial(epochs: int) -> None:
    assert for_trials(tiny_recipe(**FINE_TUNED), epochs).training.epochs == epochs


def test_a_written_recipe_is_read_back_equal(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        **FINE_TUNED,
        data={"sources": [{"adapter": "kermany", "labels": {"a b": "normal"}, "ignore": ["c"]}]},
        calibration={"shifts": ["none", "darker"]},
    )

    write_recipe(tmp_path / "written.toml", recipe, "a comment\nin two lines")

    assert read_recipe(str(tmp_path / "written.toml")) == recipe
    assert (tmp_path / "written.toml").read_text().startswith("# a comment\n# in two lines\nname")


def test_the_first_trial_is_the_recipe_as_it_is(tmp_path: Path) -> None:
    [first] = run(oracle(tmp_path, trials=3), 1)

    assert with_values(tiny_recipe(), first) == tiny_recipe()


def test_no_trial_is_done_twice_and_there_are_no_more_than_asked_for(tmp_path: Path) -> None:
    searched = oracle(tmp_path, trials=6)

    tried = run(searched, 6)

    assert len({json.dumps(values, sort_keys=True) for values in tried}) == 6
    assert searched.next_trial() is None
    nearest = min(abs(values["model.dropout"] - 0.4) for values in tried)
    assert max(trial.score for trial in searched.finished) == 1 - nearest


def test_a_search_that_was_killed_knows_its_trials_and_repeats_the_unfinished_one(
    tmp_path: Path,
) -> None:
    killed = oracle(tmp_path, trials=6)
    run(killed, 2)
    unfinished = killed.next_trial()

    carried_on = oracle(tmp_path, trials=6)

    assert unfinished is not None
    assert len(carried_on.finished) == 2
    repeated = carried_on.next_trial()
    assert repeated is not None
    assert repeated.hyperparameters.values == unfinished.hyperparameters.values
    assert len(carried_on.trials) == 3


def test_a_search_that_has_ended_goes_on_when_more_trials_are_asked_for(tmp_path: Path) -> None:
    run(oracle(tmp_path, trials=2), 2)

    more = oracle(tmp_path, trials=3)

    assert len(run(more, 1)) == 1
    assert more.next_trial() is None
    assert len(more.finished) == 3


def test_the_same_seed_gives_the_same_search(tmp_path: Path) -> None:
    first, again = (run(oracle(tmp_path / name, trials=4), 4) for name in "ab")

    assert first == again


def test_a_damaged_memory_of_a_search_is_named(tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text('{"oracle"')

    with pytest.raises(WorkdirIncomplete, match=r"search\.json cannot be used"):
        oracle(tmp_path, trials=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_kermany(root, "train", images_per_class=12)
    return root


def test_the_winner_is_a_recipe_that_can_be_trained(data: Path, tmp_path: Path) -> None:
    told = io.StringIO()

    tuned = tune(tiny_recipe(), data, tmp_path, trials=2, epochs=1, console=Console(file=told))

    table = pd.read_csv(tmp_path / "trials.csv")
    assert read_recipe(str(tuned.path)) == tuned.recipe
    assert tuned.path.name == "tiny-tuned.toml"
    assert tuned.recipe.training.epochs == tiny_recipe().training.epochs
    assert tuned.validation_auroc == table["validation_auroc"].max()
    assert table["status"].tolist() == ["completed", "completed"]
    assert "trial 2/2: validation AUROC" in told.getvalue()
    assert not list((tmp_path / "trials").iterdir())


def test_a_finished_search_trains_nothing_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune(tiny_recipe(), data, tmp_path, trials=1, epochs=1, console=quiet())
    monkeypatch.setattr("training.tune.run.train_member", None)

    again = tune(tiny_recipe(), data, tmp_path, trials=1, epochs=1, console=quiet())

    assert again == first


def test_a_trial_that_was_killed_carries_on_after_its_last_epoch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = []

    def killed_after_an_epoch(run: member.MemberRun, on_steps: Any, _: object) -> object:
        def stop(state: TrainingState) -> None:
            epochs.append(state.epochs_done)
            if len(epochs) == 1:
                raise KeyboardInterrupt

        return member.train_member(run, on_steps, stop)

    monkeypatch.setattr("training.tune.run.train_member", killed_after_an_epoch)
    with pytest.raises(KeyboardInterrupt):
        tune(tiny_recipe(), data, tmp_path, trials=1, epochs=3, console=quiet())
    tune(tiny_recipe(), data, tmp_path, trials=1, epochs=3, console=quiet())

    assert epochs == [1, 2, 3]


def test_trials_that_diverge_are_left_behind(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise TrainingDiverged("The loss is no longer a number in epoch 1.")

    monkeypatch.setattr("training.tune.run.train_member", diverge)

    with pytest.raises(TrainingDiverged, match="In no trial"):
        tune(tiny_recipe(), data, tmp_path, trials=5, epochs=1, console=quiet())
    assert pd.read_csv(tmp_path / "trials.csv")["status"].tolist() == ["failed"] * 5


def test_no_trial_is_begun_after_the_time_is_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def instantly(*_: object) -> tuple[None, TrainingState]:
        row = {"member": 0, "epoch": 1, "loss": 1, "validation_loss": 1, "validation_auroc": 0.9}
        history = [{**row, "learning_rate": 1, "seconds": 1}]
        return None, TrainingState.model_validate({"history": history, "best_epoch": 1})

    monkeypatch.setattr("training.tune.run.train_member", instantly)

    tuned = tune(tiny_recipe(), data, tmp_path, trials=5, epochs=1, console=quiet(), hours=0)

    assert tuned.trials == 1


def test_trials_of_another_length_need_another_workdir(data: Path, tmp_path: Path) -> None:
    tune(tiny_recipe(), data, tmp_path, trials=1, epochs=1, console=quiet())

    with pytest.raises(WorkdirMismatch, match="another recipe"):
        tune(tiny_recipe(), data, tmp_path, trials=1, epochs=2, console=quiet())
