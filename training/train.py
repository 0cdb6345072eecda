"""Train a recipe's network into a workdir."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops
from rich.console import Console

from contract.manifest import Provenance
from training.atomic import write_arrays
from training.backbones import BACKBONE, GENERAL
from training.batches import TrainingBatches, labelled_images
from training.calibrate import calibrate
from training.config import AugmentationConfig, Recipe
from training.datasets import check_labels
from training.evidence import OTHERS, Border, Embedded, Layer, fit_heads, numbered, place_sources
from training.fit import Network, fit
from training.models import EVIDENCE, build_classifier, feature_model
from training.ood import OodScorer, Rows, embed, fit_scorer
from training.quality import quality_limits
from training.source import Source, list_images, load_source
from training.splits import drawn_splits
from training.transforms import augment
from training.workdir import Workdir, git_revision, provenance

# A source with fewer images is not described surely enough to be told from the others.
LEAST_TRAINING, LEAST_VALIDATION = 60, 20


def train(config: Recipe, workdir: Path, data: Path, console: Console) -> None:
    """Train, calibrate, and leave all of it in a workdir, which is created where it is missing.

    The official test split is not looked at. A run that was killed carries on after its last whole
    epoch when it is started again with the same arguments; of a finished one only the calibration
    is done again, as the recipe now has it.

    Raises:
        TrainingError: Any of ``training.errors``; it says what to do.
    """
    work, revision = Workdir(workdir), git_revision()
    if not work.split_table.is_file():
        # Better now than after the images were decoded.
        build_classifier(config, with_weights=True)
    source = prepare(config, data, work, console)
    finished = work.model.is_file()
    if finished:
        model = work.load_model()
    else:
        verbose = 1 if console.is_terminal else 2
        model, _ = fit_classifier(config, source, work.root, verbose=verbose)
    console.print("choosing the temperature, the operating points and the limits of an answer")
    rows = source.rows("validation")
    images, classes = np.asarray(source.images[rows]), source.classes[rows]
    scorer, border = describe_sources(model, source, config)
    write_arrays(work.scorer, scorer)
    work.heads.unlink(missing_ok=True)
    if border is not None:
        write_arrays(work.heads, border.heads)
    quality = quality_limits(source, config.calibration.shifts, config.seed)
    calibration = calibrate(model, images, classes, config, scorer, quality, border)
    work.write_calibration(calibration)
    if finished:
        trained = work.read(work.provenance, Provenance)
        later = trained.model_copy(update={"calibrated_at_revision": revision})
        work.write_json(work.provenance, later)
    else:
        made_from = source.dataset, source.table, source.digest, revision
        work.finish(model, provenance(config.name, *made_from))


def prepare(config: Recipe, data: Path, work: Workdir, console: Console) -> Source:
    """Claim the workdir, decode the images and split them, or find all that done already."""
    dataset, digest = list_images(config, data, "development")
    work.bind(config, digest)
    source = load_source(dataset, digest, config, work, "development", console)
    if work.split_table.is_file():
        # The split of the run that is carried on, whoever has changed the rules.
        return replace(source, table=work.read_split(source.table))
    table = drawn_splits(source.table, source.images, config.split, config.seed)
    for split in sorted({"train", "validation", *table["split"]}):
        check_labels(table[table["split"] == split], config.data.classes, f"The {split} split")
    work.write_table(work.split_table, table)
    return replace(source, table=table)


def fit_classifier(
    config: Recipe, source: Source, folder: Path, *, verbose: int = 0
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a recipe's network on a source that has been split; see ``fit``.

    Source: Szegedy 2016, Rethinking the Inception Architecture (label smoothing).
    """
    rules, classes = config.training, len(config.data.classes)
    train, validation = source.rows("train"), source.rows("validation")
    strata = source.sources if rules.sampling == "balanced-sources" else 0 * source.sources
    examples = labelled_images(
        source.images, train, source.classes, strata, classes, config.augmentation
    )
    targets = np.eye(classes, dtype=np.float32)[source.classes[validation]]
    smoothed = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=rules.label_smoothing
    )
    fresh = config.model.weights == "none"
    return fit(
        Network(
            build=lambda: build_classifier(config),
            loss=smoothed,
            metric=lambda: Auroc(1000, name="auroc", multi_label=True, num_labels=classes),
            start=None if fresh else lambda: build_classifier(config, with_weights=True),
        ),
        TrainingBatches(examples, len(train), rules, config.seed),
        (source.images[validation], targets),
        rules,
        folder,
        seed=config.seed,
        verbose=verbose,
    )


def describe_sources(
    model: keras.Model, source: Source, recipe: Recipe
) -> tuple[OodScorer, Border | None]:
    """Fit the score of the unfamiliar and, where the recipe asks for it, what each source has.

    Sources with few images count together, and nothing is shown of them.
    """
    if not recipe.calibration.by_source:
        images = np.asarray(source.images[source.rows("train")])
        return fit_scorer(feature_model(model), images, recipe), None
    names = named_sources(source.table)
    rows = np.random.default_rng(recipe.seed).permutation(source.rows("train"))
    plain, validation = (
        embedded(model, source, part, names) for part in (rows, source.rows("validation"))
    )
    both = plain.and_also(embedded(model, source, rows, names, recipe.augmentation))
    pooled, general = last_layer(model, recipe)
    least = recipe.calibration.least_auroc
    heads = fit_heads(
        both, validation, pooled, len(names), general, least_auroc=least, seed=recipe.seed
    )
    if names[-1] == OTHERS:
        heads.shown[-1] = False
    return place_sources(plain, validation, recipe), Border(names, heads, validation.owners)


def embedded(
    model: keras.Model,
    source: Source,
    rows: Rows,
    names: Sequence[str],
    augmentation: AugmentationConfig | None = None,
) -> Embedded:
    """Some images, by their rows, as the last layer and the score see them.

    ``names`` are the sources that are told apart; with an ``augmentation`` each image is changed at
    random before it is looked at.
    """
    images = source.images[rows]
    if augmentation is not None:
        random = np.random.default_rng(0)
        planes = [augment(np.asarray(image[..., 0]), random, augmentation) for image in images]
        images = np.stack(planes)[..., np.newaxis]
    found = embed(feature_model(model), images)
    patients, origins = (
        source.table.loc[rows, of].to_numpy(np.str_) for of in ("patient", "source")
    )
    owners = numbered(origins, names)
    return Embedded(**found, classes=source.classes[rows], owners=owners, patients=patients)


def last_layer(model: keras.Model, recipe: Recipe) -> tuple[Layer, int]:
    """The weights of a classifier's last layer, and how many of its features are general ones."""
    kernel, bias = model.get_layer(EVIDENCE).get_weights()
    found = [layer for layer in model.get_layer(BACKBONE).layers if layer.name == GENERAL]
    general = found[0].output.shape[-1] if found else 0
    tuning = recipe.training.fine_tuning
    return (kernel[0, 0], bias), len(kernel[0, 0]) if tuning and not tuning.share else general


def named_sources(table: pd.DataFrame) -> tuple[str, ...]:
    """The sources with enough images to be told apart, then ``OTHERS`` where any are left."""
    counts = pd.crosstab(table["source"], table["split"])
    enough = (counts["train"] >= LEAST_TRAINING) & (counts["validation"] >= LEAST_VALIDATION)
    return (*sorted(counts.index[enough]), *(() if enough.all() else (OTHERS,)))


class Auroc(keras.metrics.AUC):
    """The AUROC of each class against the others, averaged, of logits, shape (batch, classes)."""

    def update_state(
        self,
        y_true: keras.KerasTensor,
        y_pred: keras.KerasTensor,
        sample_weight: keras.KerasTensor | None = None,
    ) -> None:
        """Add a batch."""
        super().update_state(y_true, ops.softmax(y_pred), sample_weight)
