"""Train a recipe's network into a workdir."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops
from rich.console import Console
from rich.progress import Progress

from training.backbones import load_backbone_weights
from training.batches import ImageBatches, LabelledImages, TrainingBatches
from training.calibrate import calibrate
from training.config import Recipe
from training.datasets import check_labels
from training.fit import Network, fit
from training.models import build_classifier, feature_model
from training.ood import fit_scorer
from training.progress import progress_bar
from training.provenance import git_revision, provenance, versions
from training.quality import fit_quality_limits, quality_sample
from training.source import Source, load_source, read_development
from training.splits import drawn_splits
from training.workdir import Workdir

AUROC_THRESHOLDS = 1000


def train(recipe: Recipe, workdir: Path, data: Path, console: Console) -> None:
    """Train, calibrate, and leave all of it in a workdir.

    The official test split is not looked at. A run that was killed carries on after its last whole
    epoch when it is started again with the same arguments; of a finished one only the calibration
    is done again, as the recipe now has it.

    Args:
        recipe: All that decides the training.
        workdir: Where everything is written; created where it is missing.
        data: The data set's folder.
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
    if finished:
        model = work.load_model()
    else:
        verbose = 1 if console.is_terminal else 2
        model, _ = fit_classifier(recipe, source, work.root, verbose=verbose)
    console.print("choosing the temperature, the operating points and the limits of an answer")
    scorer = fit_scorer(feature_model(model), source.images, source.rows("train"), recipe)
    scorer.save(work.scorer)
    quality = fit_quality_limits(quality_sample(source), recipe.calibration.shifts, recipe.seed)
    rows = source.rows("validation")
    images, classes = np.asarray(source.images[rows]), source.classes[rows]
    work.write_calibration(calibrate(model, images, classes, recipe, scorer, quality))
    if finished:
        work.note_recalibration(git_revision())
    else:
        work.finish(model, provenance(recipe.name, source.dataset, source.table, source.digest))


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
    if work.split_table.is_file():
        # The split of the run that is carried on, whoever has changed the rules.
        return replace(source, table=work.read_split(source.table))
    table = drawn_splits(source.table, source.images, recipe.split, recipe.seed)
    for split in sorted({"train", "validation", *table["split"]}):
        check_labels(table[table["split"] == split], recipe.data.classes, f"The {split} split")
    work.write_table(work.split_table, table)
    return replace(source, table=table)


def fit_classifier(
    recipe: Recipe, source: Source, folder: Path, *, verbose: int = 0
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a recipe's network on a source that has been split; see ``fit``.

    Returns:
        The training form with its best averaged weights; and its history, whose column
        ``val_auroc`` is the area under the receiver operating characteristic of each class against
        the others, averaged.

    Raises:
        RecipeError: The recipe asks for a network that cannot be built.
        TrainingDiverged: The loss is no longer a number.
        WorkdirError: A checkpoint cannot be written or read.
    """
    config, classes = recipe.training, len(recipe.data.classes)
    balanced = config.sampling == "balanced-sources"
    strata = source.sources if balanced else np.zeros_like(source.sources)
    train, validation = source.rows("train"), source.rows("validation")
    examples = LabelledImages(
        source.images, train, source.classes, strata, classes, recipe.augmentation
    )
    targets = np.eye(classes, dtype=np.float32)[source.classes[validation]]
    return fit(
        _network(recipe),
        TrainingBatches(examples, len(train), config, recipe.seed),
        ImageBatches(source.images, validation, targets),
        config,
        folder,
        seed=recipe.seed,
        verbose=verbose,
    )


class Auroc(keras.metrics.AUC):
    """The AUROC of each class against the others, averaged, of logits."""

    def update_state(
        self,
        y_true: keras.KerasTensor,
        y_pred: keras.KerasTensor,
        sample_weight: keras.KerasTensor | None = None,
    ) -> None:
        """Add a batch: targets and logits, shape (batch, classes)."""
        super().update_state(y_true, ops.softmax(y_pred), sample_weight)


def _network(recipe: Recipe) -> Network:
    """With label smoothing. Source: Szegedy 2016, Rethinking the Inception Architecture."""
    classes = len(recipe.data.classes)
    return Network(
        build=lambda: build_classifier(recipe),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.training.label_smoothing
        ),
        metric=lambda: Auroc(AUROC_THRESHOLDS, name="auroc", multi_label=True, num_labels=classes),
        start=lambda model: load_backbone_weights(model, recipe.model),
        with_weights=recipe.model.weights != "none",
    )
