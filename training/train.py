"""Train a recipe's network, or its several members, into a workdir."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from training.calibrate import calibrate
from training.checkpoint import Epoch, TrainingState
from training.config import Recipe
from training.datasets import check_labels
from training.member import MemberRun, train_member
from training.models import average_classifiers
from training.progress import epoch_line, progress_bar
from training.provenance import git_revision, provenance, versions
from training.source import Source, load_source, read_labelled
from training.splits import with_groups, with_validation
from training.workdir import Workdir


def fit(recipe: Recipe, data: Path, workdir: Path, console: Console) -> None:
    """Train, calibrate, and leave all of it in a workdir.

    The official test split is not looked at. A run that was killed carries on after its last whole
    epoch when it is started again with the same arguments; of a finished one only the calibration
    is done again, as the recipe now has it.

    Args:
        recipe: All that decides the training.
        data: The data set's folder.
        workdir: Where everything is written; created where it is missing.
        console: Where progress is shown.

    Raises:
        RecipeError: The recipe asks for a network that cannot be built.
        DataError: The data set cannot be used.
        WorkdirError: The workdir belongs to another training, or cannot be written.
        TrainingDiverged: The loss is no longer a number.
        CalibrationError: No operating point follows a rule.
    """
    work = Workdir(workdir)
    dataset, digest = read_labelled(recipe, data, "train")
    work.bind(recipe, digest)
    work.write_json(work.root / "versions.json", versions())
    with progress_bar(console) as bar:
        source = load_source(dataset, digest, recipe, work, "train", bar)
        table = _split(source, recipe, work)
        model = _train_members(recipe, source, table, work, bar)
    console.print("choosing the temperature and the operating points on the validation split")
    rows = _rows(table, "validation")
    calibration = calibrate(model, source.images, rows, source.classes[rows], recipe)
    if work.model.is_file():
        work.recalibrate(calibration, git_revision())
    else:
        work.finish(model, calibration, provenance(recipe, dataset, digest, table))


def _split(source: Source, recipe: Recipe, work: Workdir) -> pd.DataFrame:
    """Split, or keep to the split of the run that is carried on, whoever has changed the rules."""
    if work.split_table.is_file():
        return work.read_split(source.table)
    grouped = with_groups(source.table, source.images, recipe.split.near_duplicate_bits)
    table = with_validation(grouped, recipe.split, recipe.seed)
    for split in ("train", "validation"):
        check_labels(table[table["split"] == split], recipe.data.classes, f"The {split} split")
    work.write_table(work.split_table, table)
    return table


def _rows(table: pd.DataFrame, split: str) -> NDArray[np.int64]:
    return table.index[table["split"] == split].to_numpy()


def _train_members(
    recipe: Recipe, source: Source, table: pd.DataFrame, work: Workdir, bar: Progress
) -> keras.Model:
    runs = [
        MemberRun(
            recipe,
            number,
            source.images,
            source.classes,
            _rows(table, "train"),
            _rows(table, "validation"),
            work.member(number),
        )
        for number in range(recipe.training.members)
    ]
    task = bar.add_task("training", total=None)
    models: list[keras.Model] = []
    history: list[Epoch] = []

    def on_epoch(state: TrainingState) -> None:
        line = epoch_line(state.history[-1], recipe.training.epochs)
        bar.console.print(line, highlight=False, soft_wrap=True)
        work.write_history([*history, *state.history])

    for run in runs:

        def on_steps(done: int, steps: int, before: int = run.number) -> None:
            bar.update(task, completed=before * steps + done, total=len(runs) * steps)

        model, state = train_member(run, on_steps, on_epoch)
        models.append(model)
        history.extend(state.history)
        work.write_history(history)
    return average_classifiers(models)
