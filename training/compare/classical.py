"""The classical learners of a comparison: fitted, calibrated and measured as the networks are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from training.acquisition_shifts import shifted
from training.baselines import Baseline, fit_baseline, parts_of
from training.calibrate import calibrated, fit_temperature
from training.compare.candidates import Classical
from training.compare.comparison import Row
from training.compare.material import HeldOut, Material, keep_row, kept_row
from training.compare.scores import Answers
from training.config import Recipe
from training.errors import CalibrationError
from training.features import DESCRIPTIONS, Features, FeatureSpace, fit_feature_space
from training.operating_points import operating_point
from training.workdir import Workdir


def compare_classical(
    learners: Sequence[Classical], work: Workdir, material: Material, bar: Progress
) -> list[Row]:
    """Fit and measure classical learners.

    The images are described once for all learners, and not at all where every row was kept.

    Args:
        learners: The learners.
        work: The comparison's; each learner has a folder below it.
        material: The comparison's images.
        bar: Where progress is shown.

    Raises:
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    task = bar.add_task("classical learners", total=len(learners))
    rows = []
    for features in DESCRIPTIONS:
        names = [one.name for one in learners if parts_of(one.name)[1] == features]
        rows += _compare_alike(features, names, work, material)
        bar.advance(task, len(names))
    return rows


def _compare_alike(
    features: str, names: Sequence[str], work: Workdir, material: Material
) -> list[Row]:
    """The rows of learners that see the same of an image."""
    keys = {name: material.key(name) for name in names}
    rows = {name: kept_row(Workdir(work.root / name), key) for name, key in keys.items()}
    missing = [name for name, row in rows.items() if row is None]
    described = _describe(features, material) if missing else None
    for name in missing:
        row = _measure(name, described, material)
        rows[name] = keep_row(Workdir(work.root / name), keys[name], row)
    return list(rows.values())


@dataclass(frozen=True, slots=True)
class _Described:
    """All images in one feature space.

    ``train`` and each of ``held_out`` are float32, shape (images, components); ``shifted`` is the
    validation split under each acquisition shift, shape (shifts, images, components).
    """

    space: FeatureSpace
    train: Features
    shifted: Features
    held_out: dict[str, Features]


def _describe(features: str, material: Material) -> _Described:
    recipe, source = material.recipe, material.source
    train = source.rows("train")
    space = fit_feature_space(
        features, source.images, train, border=recipe.model.border, seed=recipe.seed
    )
    return _Described(
        space=space,
        train=space.transform(source.images, train),
        shifted=np.stack(list(_under_shifts(space, material))),
        held_out={
            split: space.transform(held_out.images, held_out.rows)
            for split, held_out in material.held_out.items()
        },
    )


def _under_shifts(space: FeatureSpace, material: Material) -> Iterator[Features]:
    validation = material.held_out["validation"]
    images = np.asarray(validation.images[validation.rows])
    everything = np.arange(len(images))
    for name in material.recipe.calibration.shifts:
        yield space.transform(shifted(images, name), everything)


def _measure(name: str, described: _Described, material: Material) -> Row:
    recipe, source = material.recipe, material.source
    baseline = fit_baseline(
        parts_of(name)[0],
        described.space,
        described.train,
        source.classes[source.rows("train")],
        balanced=recipe.training.sampling != "natural",
        seed=recipe.seed,
    )
    validation = material.held_out["validation"]
    logits = np.stack([baseline.logits(shift) for shift in described.shifted])
    truth = np.tile(validation.classes, len(logits))
    temperature = fit_temperature(np.concatenate(logits), truth)
    points, note = _points(calibrated(logits, temperature), validation.classes, recipe)
    scores = {
        split: _answers(baseline, features, temperature, material.held_out[split], material).scores(
            points, recipe.seed
        )
        for split, features in described.held_out.items()
    }
    return Row(
        name=name,
        kind="classical",
        ms_per_image=baseline.ms_per_image(validation.images, validation.rows),
        note=note,
        **scores,
    )


def _answers(
    baseline: Baseline,
    features: Features,
    temperature: float,
    held_out: HeldOut,
    material: Material,
) -> Answers:
    probabilities = calibrated(baseline.logits(features), temperature)
    return Answers(probabilities, held_out.classes, held_out.patients, material.positive)


def _points(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64], recipe: Recipe
) -> tuple[list[float] | None, str]:
    """The operating points by the recipe's rules, or why there are none."""
    rules = {rule.label: rule for rule in recipe.operating_points}
    try:
        points = [
            operating_point(probabilities[..., number], classes == number, rules[label])
            for number, label in enumerate(recipe.data.classes)
        ]
    except CalibrationError as error:
        return None, str(error)
    return points, ""
