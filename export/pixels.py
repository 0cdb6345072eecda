"""Do a bundle's figures hold with the pixels of today's decoder?

A JPEG is decoded at a reduced scale, at least as large as the model's input. How much larger
decides how fast that is, and moves the pixels a little.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contract.manifest import Metric, ModelManifest
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from export.session import run_in_batches
from export.verify import open_bundle
from training.config import Recipe, read_recipe
from training.evaluation import measure
from training.predictions import Predictions, answered_outputs, refused_by_gates
from training.source import read_development, read_official_test
from training.splits import drawn_splits

Images = NDArray[np.uint8]


def check_pixels(bundle: Path, data: Path, margin: int = 2) -> Iterator[str]:
    """Ask a bundle for its held-out images, with pixels of today and with those of a larger scale.

    Args:
        bundle: ``models/<name>/<version>``.
        data: The data set that it was trained on.
        margin: How many times larger than the input the other scale is, at least.

    Yields:
        How many answers change, and each figure that leaves the interval of the card.

    Raises:
        ManifestError, VerificationError: As ``open_bundle``.
        TrainingError: There is no such recipe, or the data set is laid out otherwise.
        ImageError: An image cannot be read.
    """
    manifest, session = open_bundle(bundle)
    recipe, spec = read_recipe(manifest.provenance.recipe), manifest.preprocessing
    before, table = _held_out(recipe, data, spec, margin)
    after = _read(table, spec, 1)
    said = [_predictions(manifest, run_in_batches(session, i), i, table) for i in (before, after)]
    old, new = (answered_outputs(predictions, manifest.findings) for predictions in said)
    gray = np.abs(after.astype(np.float32) - before).mean((1, 2, 3))
    moved = gray[gray > 0]
    yield (
        f"{manifest.name}: {int((old != new).sum())} of {len(table)} answers change; "
        f"{len(moved)} images do, their gray by {moved.mean() if len(moved) else 0:.2f}"
    )
    found = measure(said[1], manifest.findings, recipe.data.positive, dataset="", seed=recipe.seed)
    yield from _outside(manifest.metrics, found, len(table))


def _held_out(
    recipe: Recipe, data: Path, spec: PreprocessingSpec, margin: int
) -> tuple[Images, pd.DataFrame]:
    """The test split, official or drawn, with its images at a larger scale."""
    official = recipe.split.test_share is None
    dataset, _ = (read_official_test if official else read_development)(recipe, data)
    files = [str(dataset.root / path) for path in dataset.table["path"]]
    table = dataset.table.assign(file=files)
    images = _read(table, spec, margin)
    if official:
        return images, table
    split = drawn_splits(table, images, recipe.split, recipe.seed)
    test = split[split["split"] == "test"]
    return images[test.index.to_numpy()], test


def _read(table: pd.DataFrame, spec: PreprocessingSpec, margin: int) -> Images:
    at_least = margin * spec.height, margin * spec.width
    return np.stack(
        [
            preprocess(decode(Path(file).read_bytes(), at_least=at_least), spec)
            for file in table["file"]
        ]
    )


def _predictions(
    manifest: ModelManifest,
    outputs: dict[str, NDArray[np.float32]],
    images: Images,
    table: pd.DataFrame,
) -> Predictions:
    order = {str(label): number for number, label in enumerate(manifest.labels)}
    return Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=table["label"].map(order).to_numpy(np.int64),
        patients=table["patient"].to_numpy(np.str_),
        sources=table["source"].to_numpy(np.str_),
        # The manifest has the limits by the names that a calibration has.
        gated=refused_by_gates(images, outputs, manifest),  # type: ignore[arg-type]
    )


def _outside(card: tuple[Metric, ...], found: tuple[Metric, ...], images: int) -> Iterator[str]:
    """The figures of the card that are not what was found, where both are of the same images."""
    values = {(m.name, m.label, m.source, m.images): m.value for m in found}
    compared = 0
    for metric in card:
        value = values.get((metric.name, metric.label, metric.source, metric.images))
        if value is None:
            continue
        compared += 1
        if not metric.lower <= value <= metric.upper:
            where = " ".join(filter(None, (metric.name, metric.label, metric.source)))
            yield f"  {where}: {value:.4f}, the card says {metric.lower:.4f} to {metric.upper:.4f}"
    yield f"  {compared} figures of the card compared, over {images} images"
