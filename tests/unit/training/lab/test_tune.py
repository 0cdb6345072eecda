import io
import json
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.training_data import tiny_recipe, write_kermany
from training.config import Recipe, read_recipe
from training.errors import TrainingDiverged, WorkdirIncomplete, WorkdirMismatch
from training.lab.tune import (
    Search,
    Values,
    for_trials,
    open_search,
    search_space,
    tune,
    with_values,
)
from training.models import build_classifier

FINE_TUNED: dict[str, dict[str, object]] = {
    "model": {"backbone": "mobilenetv2", "weights": "imagenet", "standardisation": "imagenet"},
    "training": {
        "epochs": 12,
        "warmup_epochs": 2,
        "fine_tuning": {"head_epochs": 4, "head_learning_rate": 1e-3, "share": 0.5},
    },
}


def quiet() -> Console:
    return Console(file=io.StringIO())


def run(search: Search, count: int) -> list[Values]:
    """Some trials whose score follows from the dropout alone."""
    tried = []
    for _ in range(count):
        trial, values = search.ask()
        tried.append(values)
        search.study.tell(trial, score(values))
    return tried


def score(values: Values) -> float:
    return 1 - abs(float(values["model.dropout"]) - 0.4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trials.sqlite"


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
    draw = np.random.default_rng(0)
    drawn = [
        with_values(recipe, {place: of[draw.integers(len(of))] for place, of in space.items()})
        for _ in range(40)
    ]
    own = {place: attrgetter(place)(recipe) for place in space}

    assert all(own[place] in values for place, values in space.items())
    assert with_values(recipe, own) == recipe
    assert len(set(map(Recipe.model_dump_json, drawn))) == 40
    for border in {one.model.border for one in drawn}:
        build_classifier(next(one for one in drawn if one.model.border == border))


def test_a_border_is_tried_where_the_network_can_have_one() -> None:
    large = tiny_recipe(preprocessing={"height": 192, "width": 192})

    assert search_space(large)["model.border"] == (0, 16, 32)


def test_weights_to_start_from_keep_their_standardisation() -> None:
    places = search_space(tiny_recipe(**FINE_TUNED)).keys()

    assert {"training.learning_rate", "augmentation.strength"} <= set(places)
    assert places.isdisjoint({"model.standardisation", "model.width"})


def test_the_stages_of_a_trial_are_as_long_in_proportion() -> None:
    short = for_trials(tiny_recipe(**FINE_TUNED), epochs=6).training

    assert (short.epochs, short.warmup_epochs) == (6, 1)
    assert short.fine_tuning is not None
    assert short.fine_tuning.head_epochs == 2


@pytest.mark.parametrize("epochs", [1, 2, 5, 50])
def test_any_number_of_epochs_makes_a_valid_trial(epochs: int) -> None:
    assert for_trials(tiny_recipe(**FINE_TUNED), epochs).training.epochs == epochs


def test_the_first_trial_is_the_recipe_as_it_is(file: Path) -> None:
    with open_search(file, tiny_recipe()) as search:
        [first] = run(search, 1)

    assert with_values(tiny_recipe(), first) == tiny_recipe()


def test_a_search_finds_better_values_than_its_first(file: Path) -> None:
    with open_search(file, tiny_recipe()) as search:
        tried = run(search, 12)

        assert len({json.dumps(values, sort_keys=True) for values in tried}) == 12
        assert search.best.value == max(map(score, tried)) > score(tried[0])


def test_a_search_that_was_killed_knows_its_trials_and_repeats_the_unfinished_one(
    file: Path,
) -> None:
    with open_search(file, tiny_recipe()) as killed:
        run(killed, 2)
        _, unfinished = killed.ask()

    with open_search(file, tiny_recipe()) as carried_on:
        assert len(carried_on.ended) == 2
        trial, repeated = carried_on.ask()
        assert repeated == unfinished
        carried_on.study.tell(trial, score(repeated))
        assert carried_on.ask()[1] != unfinished


@pytest.mark.parametrize("kills", [0, 1])
def test_the_same_seed_gives_the_same_search_whatever_interrupts_it(
    tmp_path: Path, kills: int
) -> None:
    with open_search(tmp_path / "whole", tiny_recipe()) as search:
        whole = run(search, 4)
    with open_search(tmp_path / "parts", tiny_recipe()) as search:
        parts = run(search, 2)
        for _ in range(kills):
            search.ask()
    with open_search(tmp_path / "parts", tiny_recipe()) as search:
        parts += run(search, 2)

    assert parts == whole


def test_a_damaged_memory_of_a_search_is_named(file: Path) -> None:
    file.write_bytes(b"no database" * 100)

    with (
        pytest.raises(WorkdirIncomplete, match=r"trials\.sqlite cannot be used.*Remove it"),
        open_search(file, tiny_recipe()),
    ):
        pass


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


def test_a_finished_search_trains_nothing_again_until_more_is_asked_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune(tiny_recipe(), data, tmp_path, trials=1, epochs=1, console=quiet())
    monkeypatch.setattr("training.lab.tune.fit_classifier", None)

    again = tune(tiny_recipe(), data, tmp_path, trials=1, epochs=1, console=quiet())
    monkeypatch.setattr("training.lab.tune.fit_classifier", instantly)
    more = tune(tiny_recipe(), data, tmp_path, trials=2, epochs=1, console=quiet())

    assert again == first
    assert more.trials == 2


def test_a_trial_that_was_killed_carries_on_in_its_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def killed_at_first(_: object, __: object, folder: Path) -> tuple[None, pd.DataFrame]:
        folders.append(folder)
        if len(folders) == 1:
            raise KeyboardInterrupt
        return instantly()

    monkeypatch.setattr("training.lab.tune.fit_classifier", killed_at_first)
    with pytest.raises(KeyboardInterrupt):
        tune(tiny_recipe(), data, tmp_path, trials=1, epochs=3, console=quiet())
    tune(tiny_recipe(), data, tmp_path, trials=1, epochs=3, console=quiet())

    assert len(folders) == 2
    assert folders[0] == folders[1]


def test_trials_that_diverge_are_left_behind(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise TrainingDiverged("The loss is no longer a number in epoch 1.")

    monkeypatch.setattr("training.lab.tune.fit_classifier", diverge)

    with pytest.raises(TrainingDiverged, match="In no trial"):
        tune(tiny_recipe(), data, tmp_path, trials=5, epochs=1, console=quiet())
    assert pd.read_csv(tmp_path / "trials.csv")["status"].tolist() == ["diverged"] * 5


def test_no_trial_is_begun_after_the_time_is_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.lab.tune.fit_classifier", instantly)

    tuned = tune(tiny_recipe(), data, tmp_path, trials=5, epochs=1, console=quiet(), hours=0)

    assert tuned.trials == 1


def test_trials_of_another_length_need_another_workdir(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.lab.tune.fit_classifier", instantly)
    tune(tiny_recipe(), data, tmp_path, trials=1, epochs=1, console=quiet())

    with pytest.raises(WorkdirMismatch, match="another recipe"):
        tune(tiny_recipe(), data, tmp_path, trials=1, epochs=2, console=quiet())


def instantly(*_: object) -> tuple[None, pd.DataFrame]:
    return None, pd.DataFrame({"epoch": [1], "val_auroc": [0.9]})
