"""The lung segmenter: which pixels of a frontal chest radiograph are lung.

It is trained on the hand-drawn masks of covid-chestxray-dataset. Those of ``lung_masks`` cover the
lungs with what lies behind the heart; 127 marks arrows and letters beside them. Those of
``lung_masks_generated`` leave the heart out, so the two cannot be learnt together.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers, ops
from numpy.typing import NDArray
from rich.console import Console

from contract.errors import ImageError
from contract.lungs import LungFieldLimits, completeness, lung_mask
from contract.manifest import LUNG_MASK, Metric, Provenance
from contract.pixels import resize, to_uint8
from contract.preprocessing import PreprocessingSpec
from contract.radiograph import decode
from training.backbones import convolution
from training.batches import TrainingBatches, masked_images
from training.config import SCALES, Frozen, Recipe, SegmenterRecipe
from training.datasets import Dataset, data_digest, read_dataset
from training.errors import CalibrationError, DataError, WorkdirMismatch
from training.fit import Network, fit
from training.metrics import estimate, patient_bootstrap
from training.source import list_images, read_input
from training.splits import drawn_splits
from training.standardisation import Standardisation
from training.transforms import cornered
from training.workdir import Binding, Workdir, git_revision, provenance

Images = NDArray[np.uint8]
"""Shape (images, height, width, 1)."""
Segment = Callable[[Images], NDArray[np.bool_]]
"""From images of any size to their lungs, shape (images, height, width)."""

LUNG = 255
# Channels at each scale, in multiples of the width.
GROWTH = (1, 2, 4, 6)
IMAGES_PER_SOURCE = 120
# The share of whole radiographs that the limit refuses, were all of them looked at.
TAIL = 0.01
# With the templates of the models that ship, ``framing`` is above it for 0 to 7 % of the whole
# radiographs, and for 96 % or more of those that lack 30 % of their sides.
DOUBT = 0.1
CUTS = (0.2, 0.3, 0.4, 0.5)


class LungEvaluation(Frozen):
    """The figures of the test split: evaluation.json. Near-duplicates count as one patient."""

    dataset: str
    images: int
    patients: int
    metrics: tuple[Metric, ...]


class LungFieldFit(Frozen):
    """What the check of the lungs accepts, and what that does to other images: lung-field.json.

    ``refused`` is the share of whole radiographs below the limit, ``caught`` that of the same ones
    with so much of their sides cut off at a corner: of all, suspected by ``framing`` or not.
    """

    limits: LungFieldLimits
    fitted: int
    measured: int
    refused: float
    caught: dict[float, float]


@dataclass(frozen=True, slots=True)
class TrainedSegmenter:
    """All that export and others need of a finished training.

    ``model`` is the training form of ``build_segmenter``. ``evaluation`` is None before
    ``evaluate_lungs``, ``lung_field`` before ``fit_lung_field``.
    """

    model: keras.Model
    recipe: SegmenterRecipe
    provenance: Provenance
    evaluation: LungEvaluation | None
    lung_field: LungFieldLimits | None = None


def train_lungs(recipe: SegmenterRecipe, workdir: Path, data: Path, console: Console) -> None:
    """Train the segmenter, or carry on where a killed run has left it; errors as ``train``.

    ``data`` is the folder of covid-chestxray-dataset, or the one above it.
    """
    work, revision = Workdir(workdir), git_revision()
    dataset, digest = list_lung_images(data)
    work.bind(recipe, digest)
    table, images, masks = load_lung_images(dataset, recipe.preprocessing, console)
    if work.split_table.is_file():
        table = work.read_split(table)
    else:
        table = drawn_splits(table, images, recipe.split, recipe.seed)
        work.write_table(work.split_table, table)
    train, validation = (
        table.index[table["split"] == split].to_numpy() for split in ("train", "validation")
    )
    masked = masked_images(images[train], masks[train], recipe.augmentation)
    truth = masks[validation].astype(np.float32) / LUNG
    model, _ = fit(
        Network(
            build=lambda: build_segmenter(recipe),
            loss=overlap_loss,
            metric=lambda: keras.metrics.MeanMetricWrapper(_dice_of_logits, name="dice"),
        ),
        TrainingBatches(masked, len(train), recipe.training, recipe.seed),
        (images[validation], truth),
        recipe.training,
        work.root,
        seed=recipe.seed,
        verbose=1 if console.is_terminal else 2,
    )
    work.finish(model, provenance(recipe.name, dataset, table, digest, revision))


def evaluate_lungs(data: Path, workdir: Path) -> LungEvaluation:
    """Measure the Dice coefficient on the test split, in each mask's own size.

    Writes what it returns to ``evaluation.json``, and each image's figure to ``dice-test.csv``.
    Raises ``WorkdirMismatch`` where the images are not those of the training.
    """
    work, trained = Workdir(workdir), load_segmenter(workdir)
    dataset = list_again(trained, data)
    quiet = Console(quiet=True)
    table, images, _ = load_lung_images(dataset, trained.recipe.preprocessing, quiet)
    used = work.read_split(table)
    test = used[used["split"] == "test"]
    truths = [read_mask(dataset.root / mask) for mask in test["mask"]]
    sizes = [truth.shape for truth in truths]
    found = _lung_masks(with_mask_output(trained.model), images[test.index], sizes)
    test = test.assign(dice=list(map(dice, found, truths)))
    work.write_table(work.root / "dice-test.csv", test[["path", "group", "dice"]])
    name, patients = f"{dataset.name}, held-out patients", test.groupby("group")["dice"].mean()
    counts = patient_bootstrap(patients.index.to_numpy(str), trained.recipe.seed).astype(np.int64)
    drawn = np.array([np.repeat(patients.to_numpy(), row) for row in counts])
    figures = {
        "dice_median": np.median(drawn, axis=1),
        "dice_mean": drawn.mean(axis=1),
        "dice_lowest_tenth": np.quantile(drawn, 0.1, axis=1),
    }
    metrics = tuple(
        Metric(dataset=name, name=figure, images=len(test), **estimate(values)._asdict())
        for figure, values in figures.items()
    )
    evaluation = LungEvaluation(
        dataset=name, images=len(test), patients=len(patients), metrics=metrics
    )
    work.write_json(work.evaluation("test"), evaluation)
    return evaluation


def fit_lung_field(recipe: Recipe, data: Path, workdir: Path) -> LungFieldFit:
    """Fit how complete the lungs must look, and keep it in the segmenter's workdir.

    The limits travel with the segmenter: whether two lungs are in a picture does not depend on
    which classifier reads it. The development images of the classifier's recipe, in the folder
    ``data``, are what must be accepted. Raises ``CalibrationError`` where all are of one patient.
    """
    work, random = Workdir(workdir), np.random.default_rng(recipe.seed)
    spec, segment = load_segmenter(workdir).recipe.preprocessing, load_segment(workdir)
    dataset, _ = list_images(recipe, data, "development")
    table = dataset.table.groupby("source").sample(frac=1, random_state=recipe.seed)
    table = table.groupby("source").head(IMAGES_PER_SOURCE)
    names = random.permutation(table["group"].unique())
    if len(names) < 2:
        raise CalibrationError("The limits of lung_field need the images of at least two patients.")
    first = table["group"].isin(names[: len(names) // 2])
    for_limits, for_measure = [], []
    for path, limits in zip(table["path"], first, strict=True):
        # Training has listed what cannot be read; here there are enough others.
        with suppress(ImageError):
            plane = read_input(dataset.root / path, spec)[..., 0]
            (for_limits if limits else for_measure).append(plane)

    def seen(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        masks = segment(np.stack(planes)[..., np.newaxis])
        return np.array([completeness(mask) for mask in masks])

    lower = round(float(np.quantile(seen(for_limits), TAIL)), 3)
    found = LungFieldFit(
        limits=LungFieldLimits(doubt=DOUBT, lower=lower),
        fitted=len(for_limits),
        measured=len(for_measure),
        refused=(seen(for_measure) < lower).mean(),
        caught={
            cut: (seen([cornered(plane, cut, random) for plane in for_measure]) < lower).mean()
            for cut in CUTS
        },
    )
    work.write_json(work.root / "lung-field.json", found)
    return found


def load_segmenter(workdir: Path) -> TrainedSegmenter:
    """Read a finished training of the segmenter."""
    work = Workdir(workdir)
    evaluation, field = work.evaluation("test"), work.root / "lung-field.json"
    return TrainedSegmenter(
        model=work.load_model(),
        recipe=work.read(work.root / "config.json", Binding[SegmenterRecipe]).recipe,
        provenance=work.read(work.provenance, Provenance),
        evaluation=work.read(evaluation, LungEvaluation) if evaluation.is_file() else None,
        lung_field=work.read(field, LungFieldFit).limits if field.is_file() else None,
    )


def load_segment(workdir: Path) -> Segment:
    """The function that draws lungs, from a finished training."""
    model = with_mask_output(load_segmenter(workdir).model)

    def segment(images: Images) -> NDArray[np.bool_]:
        fitted = [resize(np.asarray(image[..., 0]), model.input.shape[1:3]) for image in images]
        sizes = [images.shape[1:3]] * len(images)
        return np.stack(_lung_masks(model, np.stack(fitted)[..., np.newaxis], sizes))

    return segment


def list_lung_images(root: Path) -> tuple[Dataset, str]:
    """List the frontal radiographs of covid-chestxray-dataset with a mask, and their digest."""
    dataset = read_dataset("covid-chestxray", root, "train")
    table = dataset.table.assign(mask="lung_masks/" + dataset.table["path"].str.rpartition("/")[2])
    there = [(dataset.root / mask).is_file() for mask in table["mask"]]
    masked = table[there].reset_index(drop=True)
    if masked.empty:
        raise DataError(
            f"{dataset.root} has no lung masks. Put those of v7labs/covid-19-xray-dataset into "
            "lung_masks/, each named as its image."
        )
    files = pd.DataFrame({"path": pd.concat([masked["path"], masked["mask"]])})
    return replace(dataset, table=masked), data_digest(replace(dataset, table=files))


def list_again(trained: TrainedSegmenter, root: Path) -> Dataset:
    """List what a segmenter was trained on; ``WorkdirMismatch`` where these are other images."""
    dataset, digest = list_lung_images(root)
    if digest != trained.provenance.data_digest:
        raise WorkdirMismatch("These are not the images of the training: their digest differs.")
    return dataset


def load_lung_images(
    dataset: Dataset, spec: PreprocessingSpec, console: Console
) -> tuple[pd.DataFrame, Images, Images]:
    """Decode and resize the radiographs and their masks; what cannot be read is told and left out.

    With the table of what can be read come the images and the masks, 0 no lung to 255 lung, and
    between where a pixel holds both; its index numbers their rows.
    """
    read: dict[int, tuple[Images, Images]] = {}
    for row in dataset.table.itertuples():
        try:
            image = read_input(dataset.root / row.path, spec)
            mask = read_mask(dataset.root / row.mask).astype(np.uint8) * LUNG
        except (ImageError, OSError) as error:
            console.print(f"{row.path} is left out: {error}", highlight=False, soft_wrap=True)
        else:
            read[row.Index] = image, to_uint8(resize(mask, spec.size))[..., np.newaxis]
    if not read:
        raise DataError(f"None of the {len(dataset.table)} radiographs with a mask can be read.")
    table = dataset.table.loc[list(read)].reset_index(drop=True)
    images, masks = (np.stack(arrays) for arrays in zip(*read.values(), strict=True))
    return table, images, masks


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask in its own size, shape (rows, columns); raises ``ImageError`` or ``OSError``."""
    return to_uint8(decode(path.read_bytes()).pixels) == LUNG


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks, 0 to 1 (Dice 1945); two empty ones agree wholly."""
    total = int(found.sum() + truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def build_segmenter(recipe: SegmenterRecipe) -> keras.Model:
    """Build the training form, from ``image``, uint8, (batch, height, width, 1), to its logits.

    Source: Ronneberger 2015, U-Net; its skips are added rather than joined, as in Chaurasia 2017,
    LinkNet, which halves the work.
    """
    image = layers.Input((*recipe.preprocessing.size, 1), dtype="uint8", name="image")
    x = Standardisation("image", local_window=1, name="standardisation")(image)
    skips = []
    for multiple in GROWTH:
        x = _residual(convolution(x, multiple * recipe.model.width, strides=2))
        skips.append(x)
    x = layers.SpatialDropout2D(recipe.model.dropout)(_residual(x))
    for skip in reversed(skips[: SCALES - 1]):
        filters = skip.shape[-1]
        doubled = layers.Conv2DTranspose(
            filters, 2, 2, use_bias=False, kernel_initializer="he_normal"
        )(x)
        x = convolution(layers.Add()([doubled, skip]), filters)
    # The last doubling is the head itself: the lungs' outline needs no features of its own there.
    logits = layers.Conv2DTranspose(1, 4, 2, padding="same", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="segmenter")


def with_mask_output(model: keras.Model) -> keras.Model:
    """Give a trained segmenter the output ``lung_mask`` of the service; the weights are shared.

    It is the probability of lung, float32, shape (batch, height, width, 1).
    """
    return keras.Model(model.input, {LUNG_MASK: ops.sigmoid(model.output)}, name="serving")


def overlap_loss(truth: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy plus one minus the soft Dice coefficient of each image, shape (batch,).

    Truth, 0 no lung to 1 lung, and logits are float, shape (batch, height, width, 1).
    Source: Milletari 2016, V-Net (soft Dice).
    """
    axes = (1, 2, 3)
    entropy = ops.mean(ops.binary_crossentropy(truth, logits, from_logits=True), axis=axes)
    probability = ops.sigmoid(logits)
    shared = ops.sum(truth * probability, axis=axes)
    total = ops.sum(truth + probability, axis=axes)
    return entropy + 1 - (2 * shared + 1) / (total + 1)


def _dice_of_logits(truth: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """As ``dice``, of pixels that are more lung than not; shapes as ``overlap_loss``."""
    axes = (1, 2, 3)
    found, lung = (ops.cast(x, "float32") for x in (logits > 0, truth > 0.5))
    shared, total = ops.sum(found * lung, axis=axes), ops.sum(found + lung, axis=axes)
    return ops.where(total > 0, 2 * shared / ops.maximum(total, 1), 1.0)


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Add()([x, convolution(x, x.shape[-1])])


def _lung_masks(
    model: keras.Model, images: Images, sizes: Sequence[tuple[int, int]]
) -> list[NDArray[np.bool_]]:
    """The lungs of images that have the network's size, each in a (height, width) of its own."""
    outputs = model.predict(images, batch_size=32, verbose=0)[LUNG_MASK]
    return [lung_mask(plane[..., 0], size) for plane, size in zip(outputs, sizes, strict=True)]
