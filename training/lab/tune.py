"""``pneumo-train tune``: run trials of a recipe, and write the best one as a recipe."""

import shutil
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

import keras
import optuna
from optuna.trial import Trial, TrialState
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from training.backbones import OWN
from training.config import Recipe, write_recipe
from training.errors import TrainingDiverged, WorkdirIncomplete
from training.train import fit_classifier, prepare
from training.workdir import Workdir

STUDY = "trials.sqlite"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)

Value = float | int | str
Values = Mapping[str, Value]


def tune(
    recipe: Recipe,
    data: Path,
    workdir: Path,
    trials: int,
    epochs: int,
    console: Console,
    hours: float | None = None,
) -> tuple[Path, float]:
    """Search for better values of a recipe, in trials of so many epochs.

    The first trial is the recipe as it is. A trial is judged by the validation AUROC of the epoch
    that it keeps; the test split is not looked at. A search that was killed carries on, with the
    trial that it was in first, and a finished one goes on when more trials are asked for: those of
    earlier runs count. After ``hours`` no further one is begun. The recipe with the best values is
    written as ``<name>-tuned.toml``, and comes back with its validation AUROC; ``trials.csv`` has
    all. Raises ``TrainingDiverged`` where no trial has a result.
    """
    work, short = Workdir(workdir), for_trials(recipe, epochs)
    source = prepare(short, data, work, console)
    space = search_space(short)

    def train_once(trial: Trial) -> float:
        for place, tried in space.items():
            trial.suggest_categorical(place, tried)
        changed = with_values(short, trial.params)
        folder = work.root / "trials" / str(trial.number)
        try:
            _, history = fit_classifier(changed, source, folder)
        except TrainingDiverged as error:
            raise optuna.TrialPruned from error
        finally:
            keras.utils.clear_session()
            # Only what the study remembers is still needed.
            shutil.rmtree(folder, ignore_errors=True)
        best = float(history["val_auroc"].max())
        console.print(f"trial {trial.number + 1}: validation AUROC {best:.4f} with {trial.params}")
        return best

    # What a killed trial has left.
    shutil.rmtree(work.root / "trials", ignore_errors=True)
    study = _open_study(work.root / STUDY, short, space)
    left = trials - len(study.get_trials(deepcopy=False, states=ENDED))
    if left > 0:
        study.optimize(train_once, n_trials=left, timeout=hours and hours * 3600)
    work.write_table(work.root / "trials.csv", study.trials_dataframe())
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise TrainingDiverged(
            "No trial has a result: lower training.learning_rate, or give more hours."
        )
    best, count = study.best_trial, len(study.get_trials(deepcopy=False, states=ENDED))
    # As long as the name of a recipe may be.
    name = f"{recipe.name[:58]}-tuned"
    path = work.root / f"{name}.toml"
    write_recipe(
        path,
        with_values(recipe, best.params).model_copy(update={"name": name}),
        f"{recipe.name} with the best values of {count} trials of {epochs} epochs each:\n"
        f"validation AUROC {best.value:.4f}, which flatters, as it chose them.",
    )
    return path, best.value


def search_space(recipe: Recipe) -> dict[str, tuple[Value, ...]]:
    """The values to try for a recipe, by their place in it; its own are always among them.

    Weights that the network starts with were learnt with one standardisation and one width, so both
    stay; the width is of the backbones of our own alone. Every combination is a valid recipe.
    """
    model, training = recipe.model, recipe.training
    # Steps of an octave to both sides; rounded, so that they read well in a recipe.
    rates = [float(f"{training.learning_rate * 2.0**step:.3g}") for step in (-2, -1, 1, 2)]
    tried: dict[str, tuple[Value, ...]] = {
        "model.dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        "training.weight_decay": (0.0, 1e-4, 1e-3, 1e-2),
        "training.label_smoothing": (0.0, 0.05, 0.1),
        "training.learning_rate": tuple(rates),
        "augmentation.strength": (0.5, 0.75, 1.0, 1.25, 1.5),
    }
    if model.weights == "none":
        tried["model.standardisation"] = ("fixed", "image", "local")
        if model.backbone in OWN:
            widths = (round(factor * model.width) for factor in (0.5, 0.75, 1.5, 2))
            tried["model.width"] = tuple(max(1, width) for width in widths)
    return {
        place: tuple(dict.fromkeys((attrgetter(place)(recipe), *values)))
        for place, values in tried.items()
    }


def with_values(recipe: Recipe, values: Values) -> Recipe:
    """The recipe with some of its values replaced, by their place in it: ``model.dropout``."""
    content = recipe.model_dump()
    for place, value in values.items():
        part, name = place.split(".")
        content[part][name] = value
    return Recipe.model_validate(content)


def for_trials(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe as a trial runs it: so many epochs, its stages as long in proportion."""
    content = recipe.model_dump()
    training = content["training"]
    part = epochs / training["epochs"]
    training |= {"epochs": epochs, "warmup_epochs": training["warmup_epochs"] * part}
    if training["fine_tuning"] is not None:
        training["fine_tuning"]["head_epochs"] = int(training["fine_tuning"]["head_epochs"] * part)
    return Recipe.model_validate(content)


def _open_study(path: Path, recipe: Recipe, space: Mapping[str, tuple[Value, ...]]) -> optuna.Study:
    """Open the study of a search, or begin it with the recipe as it is."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name="search",
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=recipe.seed),
            load_if_exists=True,
        )
    except SQLAlchemyError as error:
        raise WorkdirIncomplete(
            f"{path} cannot be used: {error.args[0]}. Remove it to start the search again."
        ) from error
    if not study.trials:
        study.enqueue_trial({place: values[0] for place, values in space.items()})
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
    if study.trials and study.trials[-1].state is TrialState.FAIL:
        study.enqueue_trial(study.trials[-1].params)
    return study
