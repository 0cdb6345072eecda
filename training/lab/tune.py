"""``pneumo-train tune``: run trials of a recipe, and write the best one as a recipe."""

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import keras
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from training.backbones import OWN
from training.config import Recipe, write_recipe
from training.errors import RecipeError, TrainingDiverged, WorkdirIncomplete
from training.models import build_classifier
from training.progress import progress_bar
from training.source import Source
from training.train import fit_classifier, prepare
from training.workdir import Workdir

STUDY = "trials.sqlite"
SUFFIX = "-tuned"
NAME_LENGTH = 64

DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
WEIGHT_DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
LABEL_SMOOTHINGS = (0.0, 0.02, 0.05, 0.1)
STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5)
STANDARDISATIONS = ("fixed", "image", "local", "image+local")
WIDTH_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
# Steps of half an octave to both sides: finer ones no training can tell apart.
LEARNING_RATE_FACTORS = tuple(2 ** (step / 2) for step in range(-6, 7) if step)
# A feature map has a cell for so many pixels, or for a part or a multiple of them.
CELL = 16
LARGEST_BORDER = 1 / 6

Value = float | int | str
Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of a search: the recipe with the best values, its file, and how it did."""

    recipe: Recipe
    path: Path
    validation_auroc: float
    trials: int


def tune(
    recipe: Recipe,
    data: Path,
    workdir: Path,
    trials: int,
    epochs: int,
    console: Console,
    hours: float | None = None,
) -> Tuned:
    """Search for better values of a recipe.

    The first trial is the recipe as it is. A trial is judged by the validation AUROC of the epoch
    that it keeps; the test split is not looked at. A search that was killed carries on, in the
    middle of a trial too, and a finished one goes on when more trials are asked for.

    Args:
        recipe: Where to start.
        data: The data set's folder.
        workdir: Of the search; ``trials.sqlite`` is an Optuna study.
        trials: How many there may be, those of earlier runs included; at least 1.
        epochs: How long each may be; at least 1.
        console: Where progress is shown.
        hours: After how long no further trial is begun; no such limit where None.

    Returns:
        The winner, which has also been written as ``<name>-tuned.toml``; ``trials.csv`` has all.

    Raises:
        RecipeError: The recipe's network cannot be built.
        DataError: The data set cannot be used.
        WorkdirError: The workdir belongs to another training, or cannot be written.
        TrainingDiverged: Not one trial had a loss that is a number.
    """
    ends = float("inf") if hours is None else time.monotonic() + hours * 3600
    work, short = Workdir(workdir), for_trials(recipe, epochs)
    with progress_bar(console) as bar:
        source = prepare(short, data, work, bar)
        with open_search(work.root / STUDY, short) as search:
            task = bar.add_task("trials", total=trials)
            while len(search.ended) < trials and (not search.done or time.monotonic() < ends):
                bar.update(task, completed=len(search.ended))
                _run(search, short, source, work)
                work.write_table(work.root / "trials.csv", search.table())
                console.print(search.line(trials), highlight=False, soft_wrap=True)
            if not search.done:
                raise TrainingDiverged(
                    "In no trial was the loss a number: lower training.learning_rate."
                )
            return _winner(search, recipe, work, epochs)


def search_space(recipe: Recipe) -> dict[str, tuple[Value, ...]]:
    """The values to try for a recipe, by their place in it, in their order.

    Its own are always among them. Weights that the network starts with were learnt with one
    standardisation and one width, so both stay; the width is of the backbones of our own alone.
    Every combination is a valid recipe.

    Raises:
        RecipeError: The recipe's own network cannot be built.
    """
    model, training = recipe.model, recipe.training
    rate = training.learning_rate
    # Rounded, so that they read well in a recipe.
    rates = [float(f"{rate * factor:.3g}") for factor in LEARNING_RATE_FACTORS]
    space: dict[str, tuple[Value, ...]] = {
        place: tuple(sorted({*values, own}))
        for place, values, own in (
            ("model.dropout", DROPOUTS, model.dropout),
            ("training.weight_decay", WEIGHT_DECAYS, training.weight_decay),
            ("training.label_smoothing", LABEL_SMOOTHINGS, training.label_smoothing),
            ("augmentation.strength", STRENGTHS, recipe.augmentation.strength),
            ("training.learning_rate", rates, rate),
        )
    }
    space["model.border"] = tuple(_borders(recipe))
    if model.weights == "none":
        space["model.standardisation"] = tuple(
            dict.fromkeys((*STANDARDISATIONS, model.standardisation))
        )
        if model.backbone in OWN:
            widths = {max(1, round(factor * model.width)) for factor in WIDTH_FACTORS}
            space["model.width"] = tuple(sorted(widths))
    return space


def with_values(recipe: Recipe, values: Values) -> Recipe:
    """The recipe with some of its values replaced, by their place in it: ``model.dropout``."""
    content = recipe.model_dump()
    for place, value in values.items():
        part, name = place.split(".")
        content[part][name] = value
    return Recipe.model_validate(content)


def for_trials(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe as a trial runs it: so many epochs, its stages as long in proportion.

    Args:
        recipe: The recipe.
        epochs: At least 1.
    """
    content = recipe.model_dump()
    training = content["training"]
    part = epochs / training["epochs"]
    training |= {"epochs": epochs, "warmup_epochs": training["warmup_epochs"] * part}
    if training["fine_tuning"] is not None:
        training["fine_tuning"]["head_epochs"] = int(training["fine_tuning"]["head_epochs"] * part)
    return Recipe.model_validate(content)


@dataclass(frozen=True, slots=True)
class Search:
    """An Optuna study over the values of a recipe.

    A trial whose loss diverged is pruned, which tells the sampler to keep away from its values. One
    that was interrupted has failed, and its values are tried again first.
    """

    study: optuna.Study
    recipe: Recipe
    space: Mapping[str, tuple[Value, ...]]

    @property
    def done(self) -> list[FrozenTrial]:
        """The trials with a result."""
        return self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])

    @property
    def ended(self) -> list[FrozenTrial]:
        """The trials with a result, and those that have diverged."""
        states = [TrialState.COMPLETE, TrialState.PRUNED]
        return self.study.get_trials(deepcopy=False, states=states)

    @property
    def best(self) -> FrozenTrial:
        """The trial with the highest validation AUROC; of equals, the first."""
        return max(self.done, key=lambda trial: trial.value)

    def ask(self) -> tuple[Trial, Values]:
        """The next trial; the same one whatever was interrupted on the way to it."""
        self.study.sampler = optuna.samplers.TPESampler(seed=self.recipe.seed + len(self.ended))
        trial = self.study.ask()
        # The places in the ordered values, so that the sampler knows which are near each other.
        for place, values in self.space.items():
            trial.suggest_int(place, 0, len(values) - 1)
        return trial, self.values(trial)

    def values(self, trial: Trial | FrozenTrial) -> Values:
        """The values of a trial, by their place in the recipe."""
        return {place: self.space[place][number] for place, number in trial.params.items()}

    def known(self, trial: Trial) -> FrozenTrial | None:
        """An earlier trial with the same values: the same training would give the same."""
        return next((t for t in self.ended if t.params == trial.params), None)

    def table(self) -> pd.DataFrame:
        """One row per trial that has ended."""
        return pd.DataFrame(
            [
                {
                    "trial": number,
                    "status": "diverged" if trial.value is None else "completed",
                    "validation_auroc": trial.value,
                    **self.values(trial),
                }
                for number, trial in enumerate(self.ended, start=1)
            ]
        )

    def line(self, trials: int) -> str:
        """What came of the last trial."""
        last = self.ended[-1]
        done = f"trial {len(self.ended)}/{trials}"
        values = ", ".join(f"{place} {value}" for place, value in self.values(last).items())
        if last.value is None:
            return f"{done}: the loss was no number, with {values}"
        best = self.best.value
        return f"{done}: validation AUROC {last.value:.4f} (best {best:.4f}) with {values}"


@contextmanager
def open_search(path: Path, recipe: Recipe) -> Iterator[Search]:
    """Open the study of a search, or begin it with the recipe as it is.

    Raises:
        WorkdirIncomplete: The file is damaged, or cannot be written.
        RecipeError: The recipe's own network cannot be built.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = search_space(recipe)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    except SQLAlchemyError as error:
        raise WorkdirIncomplete(
            f"{path} cannot be used: {error.args[0]}. Remove it to start the search again."
        ) from error
    try:
        study = optuna.create_study(
            storage=storage, study_name="search", direction="maximize", load_if_exists=True
        )
        if not study.trials:
            study.enqueue_trial(
                {place: of.index(attrgetter(place)(recipe)) for place, of in space.items()}
            )
        for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
        yield Search(study, recipe, space)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _run(search: Search, short: Recipe, source: Source, work: Workdir) -> None:
    """Train one trial, or carry on with it, and tell the study what came of it."""
    trial, values = search.ask()
    known = search.known(trial)
    if known is not None:
        search.study.tell(trial, known.value, state=known.state)
        return
    recipe = with_values(short, values)
    name = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:16]
    folder = work.root / "trials" / name
    try:
        _, history = fit_classifier(recipe, source, folder)
    except TrainingDiverged:
        search.study.tell(trial, state=TrialState.PRUNED)
    else:
        search.study.tell(trial, float(history["val_auroc"].max()))
    finally:
        keras.utils.clear_session()
    # Only what the study remembers is still needed.
    shutil.rmtree(folder, ignore_errors=True)


def _winner(search: Search, recipe: Recipe, work: Workdir, epochs: int) -> Tuned:
    best, count = search.best, len(search.ended)
    name = recipe.name[: NAME_LENGTH - len(SUFFIX)] + SUFFIX
    tuned = with_values(recipe, search.values(best)).model_copy(update={"name": name})
    path = work.root / f"{name}.toml"
    write_recipe(
        path,
        tuned,
        f"{recipe.name} with the best values of {count} trials of {epochs} epochs each:\n"
        f"validation AUROC {best.value:.4f}, which flatters, as it chose them.",
    )
    return Tuned(tuned, path, best.value, count)


def _borders(recipe: Recipe) -> Iterator[int]:
    """No border, or a multiple of the cells of the feature map, as far as the network allows."""
    largest = int(LARGEST_BORDER * min(recipe.preprocessing.size))
    own = recipe.model.border
    for border in sorted({*range(0, largest + 1, CELL), own}):
        try:
            build_classifier(with_values(recipe, {"model.border": border}))
        except RecipeError:
            if border == own:
                raise
            continue
        yield border
