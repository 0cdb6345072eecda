"""Run trials of a recipe, and write the best one as a recipe."""

import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import pandas as pd
from keras_tuner.engine.trial import Trial
from rich.console import Console
from rich.progress import Progress

from training.checkpoint import TrainingState
from training.config import Recipe
from training.errors import TrainingDiverged
from training.member import MemberRun, train_member
from training.progress import progress_bar
from training.recipe_file import write_recipe
from training.source import Source
from training.train import prepare
from training.tune.oracle import OBJECTIVE, TrialOracle
from training.tune.search_space import for_trials, search_space, with_values
from training.workdir import Workdir

STATE = "search.json"
TRIALS = "trials"
SUFFIX = "-tuned"
NAME_LENGTH = 64


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
        workdir: Of the search.
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
    work = Workdir(workdir)
    short = for_trials(recipe, epochs)
    with progress_bar(console) as bar:
        source = prepare(short, data, work, bar)
        oracle = TrialOracle(work.root / STATE, search_space(short), trials, recipe.seed)
        _search(oracle, short, source, work, bar, ends)
    best = oracle.best
    if best is None:
        raise TrainingDiverged("In no trial was the loss a number: lower training.learning_rate.")
    return _winner(oracle, best, recipe, work, epochs)


def _search(
    oracle: TrialOracle, short: Recipe, source: Source, work: Workdir, bar: Progress, ends: float
) -> None:
    task = bar.add_task("trials", total=oracle.max_trials, completed=len(oracle.end_order))
    while oracle.best is None or time.monotonic() < ends:
        trial = oracle.next_trial()
        if trial is None:
            break
        folder = _run(oracle, trial, short, source, work, bar)
        # Only what the oracle remembers is still needed.
        shutil.rmtree(folder, ignore_errors=True)
        work.write_table(work.root / "trials.csv", _table(oracle))
        bar.update(task, completed=len(oracle.end_order))
        bar.console.print(_line(oracle, trial), highlight=False, soft_wrap=True)


def _run(
    oracle: TrialOracle,
    trial: Trial,
    short: Recipe,
    source: Source,
    work: Workdir,
    bar: Progress,
) -> Path:
    """Train one trial, or carry on with it, and tell the oracle what came of it.

    Returns:
        The folder of its checkpoints, which is named after its values.
    """
    recipe = with_values(short, trial.hyperparameters.values)
    name = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:16]
    folder = work.root / TRIALS / name
    task = bar.add_task(f"trial {len(oracle.end_order) + 1}", total=None)
    try:
        _, state = train_member(
            MemberRun(recipe, 0, source, folder),
            lambda done, steps: bar.update(task, completed=done, total=steps),
            lambda _state: None,
        )
    except TrainingDiverged as error:
        oracle.fail(trial, str(error))
    else:
        oracle.end(trial, _kept_auroc(state))
    finally:
        bar.remove_task(task)
        keras.utils.clear_session()
    return folder


def _kept_auroc(state: TrainingState) -> float:
    return state.history[state.best_epoch - 1].validation_auroc


def _line(oracle: TrialOracle, trial: Trial) -> str:
    done = f"trial {len(oracle.end_order)}/{oracle.max_trials}"
    if trial.score is None:
        return f"{done}: {trial.message}"
    values = ", ".join(f"{place} {value}" for place, value in trial.hyperparameters.values.items())
    return (
        f"{done}: validation AUROC {trial.score:.4f} (best {oracle.best.score:.4f}) with {values}"
    )


def _table(oracle: TrialOracle) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "trial": number,
                "status": trial.status.lower(),
                OBJECTIVE: trial.score,
                **trial.hyperparameters.values,
            }
            for number, trial in enumerate(oracle.trials.values(), start=1)
        ]
    )


def _winner(oracle: TrialOracle, best: Trial, recipe: Recipe, work: Workdir, epochs: int) -> Tuned:
    name = recipe.name[: NAME_LENGTH - len(SUFFIX)] + SUFFIX
    tuned = with_values(recipe, best.hyperparameters.values).model_copy(update={"name": name})
    path = work.root / f"{name}.toml"
    count = len(oracle.end_order)
    write_recipe(
        path,
        tuned,
        f"{recipe.name} with the best values of {count} trials of {epochs} epochs each:\n"
        f"validation AUROC {best.score:.4f}, which flatters, as it chose them.",
    )
    return Tuned(tuned, path, best.score, count)
