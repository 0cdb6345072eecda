"""Whether heatmaps lie in the lungs, come from what was learnt, and follow the experts' scores."""

from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.findings import Label
from contract.manifest import Metric
from training.errors import DataError
from training.heatmap_trust import HeatmapTrust, SanityCheck, heatmap_trust, sanity_check
from training.measure import LEAST_IMAGES
from training.metrics import Estimate
from training.models import with_serving_outputs
from training.report.checks import Check, Outcome
from training.report.material import Images, LungMasks, Material, Rows

MAX_IMAGES = 200
# Each is looked at by eleven networks.
MAX_SHUFFLED = 48


def heatmaps(material: Material) -> Outcome:
    """The pointing game, before and after all but the lungs is covered, and shuffled weights."""
    metrics = [*_in_the_lungs(material), *_with_shuffled_weights(material)]
    if not metrics:
        return Outcome(summary="There are neither lung masks nor the network's weights: not done.")
    return Outcome(
        summary=(
            "Of images that truly have the finding: the share of the activation inside the lungs "
            "and how often the strongest place is there, on the whole image and with all but the "
            "lungs covered, beside what an even map would get. A map that does not follow the "
            "lungs must not be read as showing disease. With shuffled weights the map should "
            "change: 1 is no change at all."
        ),
        metrics=tuple(metrics),
    )


def expert_scores(material: Material) -> Outcome:
    """Whether the share of the lungs under the map follows how ill experts find them."""
    if material.severity is None:
        return Outcome(summary="There are no expert scores, or no segmenter: not done.")
    try:
        label, correlations = material.severity()
    except (DataError, ImageError) as error:
        return Outcome(summary=f"{error} Not done.")
    shown = [found.score for found in correlations if found.excludes_zero]
    return Outcome(
        summary=(
            f"The share of the lungs under the map of {label}, by rank against the experts' "
            "scores of covid-chestxray-dataset, among whose images may be some of the training. "
            + (
                f"The interval lies above zero for: {', '.join(shown)}."
                if shown
                else "No interval lies above zero, so answers carry no severity."
            )
        ),
        metrics=tuple(
            Metric(
                dataset="covid-chestxray-dataset, severity.csv",
                name=f"severity_{found.score}_rank_correlation",
                label=label,
                value=found.value,
                lower=found.lower,
                upper=found.upper,
                images=found.images,
            )
            for found in correlations
        ),
    )


def _in_the_lungs(material: Material) -> Iterator[Metric]:
    lungs = _with_lungs(material.lungs())
    classes = material.predictions.classes[lungs.rows]
    for number, label in _findings(material):
        members = _spread(np.flatnonzero(classes == number), MAX_IMAGES)
        if len(members) >= LEAST_IMAGES:
            rows = lungs.rows[members]
            trust = heatmap_trust(
                material.predict,
                np.asarray(material.images[rows]),
                lungs.masks[members],
                material.predictions.patients[rows],
                finding=number,
                seed=material.seed,
            )
            yield from _metrics(material, label, _trusted(trust))


def _with_lungs(lungs: LungMasks) -> LungMasks:
    found = lungs.masks.any(axis=(1, 2))
    return LungMasks(lungs.rows[found], lungs.masks[found])


def _spread(rows: Rows, limit: int) -> Rows:
    """At most so many, from the whole list: its first ones may all be of one source."""
    return rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(np.int64)]


def _findings(material: Material) -> Iterator[tuple[int, Label]]:
    """The positive finding, or where there is none every one."""
    for number, finding in enumerate(material.findings):
        if material.positive in {None, finding.label}:
            yield number, finding.label


def _trusted(trust: HeatmapTrust) -> dict[str, tuple[Estimate, int]]:
    whole, alone = trust.whole_image, trust.lungs_only
    return {
        "heatmap_even_map_inside": (trust.area, whole.images),
        "heatmap_inside": (whole.inside, whole.images),
        "heatmap_pointing": (whole.pointing, whole.images),
        "heatmap_inside_lungs_only": (alone.inside, alone.images),
        "heatmap_pointing_lungs_only": (alone.pointing, alone.images),
    }


def _with_shuffled_weights(material: Material) -> Iterator[Metric]:
    if material.network is None:
        return
    # The last class: of two it is the finding, and the map of the other is its negative.
    number, label = list(_findings(material))[-1]
    rows = _spread(np.flatnonzero(material.predictions.classes == number), MAX_SHUFFLED)
    if len(rows) >= LEAST_IMAGES:
        check = _sanity(material, material.network, rows, number)
        alike = {"head": check.head, "all": check.all}
        figures = {f"heatmap_alike_{k}_shuffled": (v, check.images) for k, v in alike.items()}
        yield from _metrics(material, label, figures)


def _sanity(material: Material, network: keras.Model, rows: Rows, number: int) -> SanityCheck:
    def maps_of(model: keras.Model, images: Images) -> NDArray[np.float32]:
        serving = with_serving_outputs(model, temperature=1.0)
        return np.asarray(serving.predict(images, verbose=0)["activation_map"][..., number])

    return sanity_check(
        network,
        np.asarray(material.images[rows]),
        material.predictions.patients[rows],
        maps_of=maps_of,
        seed=material.seed,
    )


def _metrics(
    material: Material, label: Label, figures: dict[str, tuple[Estimate, int]]
) -> Iterator[Metric]:
    for name, (figure, images) in figures.items():
        if images and np.isfinite(figure.value):
            yield figure.metric(material.dataset, name, images, label)


HEATMAPS = (
    Check("heatmaps", "Do heatmaps point into the lungs, and come from what was learnt?", heatmaps),
    Check("expert-scores", "Does the marked share follow how ill experts find it?", expert_scores),
)
