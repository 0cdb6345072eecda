"""Train a recipe's network, or its several members, into a workdir."""

from dataclasses import replace
from pathlib import Path

import keras
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from training.calibrate import Calibration, calibrate
from training.checkpoint import Epoch, TrainingState
from training.config import Recipe
from training.datasets import check_labels
from training.member import MemberRun, train_member
from training.models import average_classifiers
from training.ood.fit import fit_scorer
from training.progress import epoch_line, progress_bar
from training.provenance import git_revision, provenance, versions
from training.quality_limits import fit_quality_limits, quality_sample
from training.source import Source, load_source, read_development
from training.splits import drawn_splits
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
    with progress_bar(console) as bar:
        source = prepare(recipe, data, work, bar)
        finished = work.model.is_file()
        model = work.load_model() if finished else _train_members(recipe, source, work, bar)
    console.print("choosing the temperature, the operating points and the limits of an answer")
    calibration = _calibrate(model, source, recipe, work)
    if finished:
        work.recalibrate(calibration, git_revision())
    else:
        work.finish(model, calibration, provenance(recipe, source))


def _calibrate(model: keras.Model, source: Source, recipe: Recipe, work: Workdir) -> Calibration:
    """Choose on the validation split, and fit what is familiar on the training split."""
    scorer = fit_scorer(model, source.images, source.rows("train"), recipe)
    scorer.save(work.scorer)
    quality = fit_quality_limits(quality_sample(source), recipe.calibration.shifts, recipe.seed)
    rows = source.rows("validation")
    calibration = calibrate(model, source.images, rows, source.classes[rows], recipe, scorer)
    return calibration.model_copy(update={"quality": quality})


def prepare(recipe: Recipe, data: Path, work: Workdir, bar: Progress) -> Source:
    """Claim the workdir, decode the images and split them, or find all that done already.

    Raises:
        DataError: The data set cannot be used.
        WorkdirError: The workdir belongs to another training, or cannot be written.
    """
    dataset, digest = read_development(recipe, data)
    work.bind(recipe, digest)
    work.write_json(work.root / "versions.json", versions())
    source = load_source(dataset, digest, recipe, work, "development", bar)
    return replace(source, table=_split(source, recipe, work))


def _split(source: Source, recipe: Recipe, work: Workdir) -> pd.DataFrame:
    """Split, or keep to the split of the run that is carried on, whoever has changed the rules."""
    if work.split_table.is_file():
        return work.read_split(source.table)
    table = drawn_splits(source.table, source.images, recipe.split, recipe.seed)
    for split in sorted({"train", "validation", *table["split"]}):
        check_labels(table[table["split"] == split], recipe.data.classes, f"The {split} split")
    work.write_table(work.split_table, table)
    return table


def _train_members(recipe: Recipe, source: Source, work: Workdir, bar: Progress) -> keras.Model:
    runs = [
        MemberRun(recipe, number, source, work.member(number))
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
