"""Do a bundle's figures hold with today's decoder and today's rule of the decision?"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from contract.manifest import FIGURES, Metric
from export.session import run_in_batches
from export.store import replace_bundle
from export.verify import open_bundle, read_images
from training.config import read_recipe
from training.evaluation import measure, measure_series
from training.figures import draw_evaluation
from training.predictions import Predictions, count_answers, doubts_of
from training.source import list_images
from training.splits import drawn_splits


def remeasure_bundle(bundle: Path, data: Path, *, write: bool = False) -> Iterator[str]:
    """Ask a bundle for its held-out images again, and compare with its card.

    With ``write`` what was measured replaces what the manifest and the card say, joins them where
    they lack it, and is drawn again. What needs more than these images and the graph stays.

    Yields:
        Each figure that leaves the interval of the card, and how many were compared.

    Raises:
        ManifestError: As ``open_bundle``.
        TrainingError: There is no such recipe, or the data set is laid out otherwise.
        ImageError: An image cannot be read.
    """
    manifest, session = open_bundle(bundle)
    recipe, spec = read_recipe(manifest.provenance.recipe), manifest.preprocessing
    drawn = recipe.split.test_share is not None
    dataset, _ = list_images(recipe, data, "development" if drawn else "test")
    table = dataset.table
    images = read_images([dataset.root / path for path in table["path"]], spec)
    if drawn:
        split = drawn_splits(table, images, recipe.split, recipe.seed)
        table = split[split["split"] == "test"]
        images = images[table.index.to_numpy()]
    outputs = run_in_batches(session, images)
    order = {str(label): number for number, label in enumerate(manifest.labels)}
    predictions = Predictions(
        logits=outputs["logits"],
        probabilities=outputs["probabilities"],
        classes=table["label"].map(order).to_numpy(np.int64),
        patients=table["patient"].to_numpy(np.str_),
        sources=table["source"].to_numpy(np.str_),
        # The manifest has the limits by the names that a calibration has.
        doubts=doubts_of(images, outputs, manifest),  # type: ignore[arg-type]
    )
    of = predictions, manifest.findings, recipe.data.positive
    name, seed = manifest.metrics[0].dataset, recipe.seed
    measured = measure(*of, dataset=name, seed=seed)
    if not manifest.reads_radiographs:
        measured += measure_series(*of, manifest.series_rule, dataset=name, seed=seed)
    found = {_subject(metric): metric for metric in measured}
    compared = [metric for metric in manifest.metrics if _subject(metric) in found]
    for metric in compared:
        value = found[_subject(metric)].value
        if not metric.lower <= value <= metric.upper:
            where = " ".join(filter(None, (metric.name, metric.label, metric.source)))
            yield f"{where}: {value:.4f}, the card says {metric.lower:.4f} to {metric.upper:.4f}"
    yield f"{len(compared)} figures of the card compared, over {len(table)} images"
    if write:
        named = {metric.name for metric in manifest.metrics}
        metrics = (
            *(found.get(_subject(metric), metric) for metric in manifest.metrics),
            *(metric for metric in measured if metric.name not in named),
        )
        (bundle / FIGURES).mkdir(exist_ok=True)
        answers = count_answers(predictions, manifest.findings)
        draw_evaluation(bundle / FIGURES, "test", *of, answers)
        replace_bundle(bundle, manifest.model_copy(update={"metrics": metrics}), {})


def _subject(metric: Metric) -> tuple[object, ...]:
    return metric.name, metric.label, metric.source, metric.images
