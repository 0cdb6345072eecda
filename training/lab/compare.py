"""``pneumo-train compare``: networks and classical learners on one split, to choose among them."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from rich.console import Console

from contract.manifest import Finding, Metric
from training.atomic import write_text
from training.backbones import OWN
from training.batches import ImageBatches
from training.calibrate import calibrated, fit_temperature, operating_point
from training.config import BackboneName, Recipe, read_recipe
from training.errors import (
    CalibrationError,
    RecipeError,
    TrainingDiverged,
    WorkdirIncomplete,
    WorkdirMismatch,
)
from training.evaluation import measure_whole
from training.graph_measurement import model_digest, read_graph_measurement
from training.lab.classical import BASELINES, describe, fit_baseline
from training.lab.comparison import (
    Comparison,
    Row,
    Split,
    figure_names,
    ranked,
    summary,
    write_comparison,
)
from training.models import build_classifier
from training.predictions import Predictions
from training.progress import progress_bar
from training.source import Source, load_source, read_official_test
from training.train import prepare, train
from training.transforms import shifted
from training.workdir import TrainedModel, Workdir

BACKBONES: tuple[str, ...] = get_args(BackboneName)
NOT_MEASURED = "not measured: run pneumo-export measure"
KEPT = "comparison-row.json"
Candidates = Mapping[str, Recipe | None]
"""The recipe of each network by its name; None for a classical learner."""


class _Kept(BaseModel):
    key: str
    row: Row


@dataclass(frozen=True)
class _Images:
    """The images of a recipe at its size: those to learn from, and the splits to measure on.

    ``held_out`` has of each split its images' source and rows.
    """

    recipe: Recipe
    source: Source
    held_out: dict[Split, tuple[Source, NDArray[np.int64]]]

    @cached_property
    def described(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """What was described already: by features, then by the images' name."""
        return {}

    def key(self, *parts: str) -> str:
        """Names all that a candidate's figures follow from: these images, and ``parts``."""
        digests = (source.digest for source, _ in self.held_out.values())
        everything = "\0".join((*digests, *self.held_out, self.recipe.model_dump_json(), *parts))
        return hashlib.sha256(everything.encode()).hexdigest()

    def figures(
        self,
        logits: Mapping[Split, NDArray[np.float32]],
        temperature: float,
        points: Sequence[float],
    ) -> dict[Split, dict[str, Metric]]:
        """Measure a candidate on every split, with intervals from a bootstrap over patients."""
        data = self.recipe.data
        rule = {"operating_point_rule": "the recipe's", "activation_scale": 1}
        findings = tuple(
            Finding.model_validate({"label": label, "operating_point": point, **rule})
            for label, point in zip(data.classes, points, strict=True)
        )
        found = {}
        for split, (source, rows) in self.held_out.items():
            table = source.table.loc[rows]
            predictions = Predictions(
                logits=logits[split],
                # The graph's own softmax rounds otherwise, and a point is one image's score.
                probabilities=calibrated(logits[split], temperature),
                classes=source.classes[rows],
                patients=table["patient"].to_numpy(np.str_),
                sources=table["source"].to_numpy(np.str_),
            )
            name = f"{source.dataset.name}, {split}"
            seed = self.recipe.seed
            metrics = measure_whole(predictions, findings, data.positive, dataset=name, seed=seed)
            found[split] = {m.name: m for m in metrics if m.name in figure_names(data.positive)}
        return found


def compare(
    recipe: Recipe,
    data: Path,
    workdir: Path,
    candidates: Sequence[str],
    console: Console,
    split: Split = "validation",
) -> Comparison:
    """Compare networks and classical learners on one split.

    All learn from the same images and have their operating points chosen on the same validation
    images, by the recipe's rules. They are ranked by what they do there, so that the test split
    chooses nothing. A comparison that was killed carries on; candidates may be added later.

    Args:
        recipe: Gives the data, the splits, and all of a network but its backbone.
        data: The data set's folder.
        workdir: Of the comparison; each candidate gets a folder below it.
        candidates: Backbones, paths of recipes, classical learners; see ``choose_candidates``.
        console: Where progress is shown.
        split: ``test`` shows the figures of the test split beside those of the validation split.

    Returns:
        What stands in ``comparison.json``; ``comparison.csv``, ``comparison.png`` and
        ``comparison.html`` show the same.

    Raises:
        RecipeError: A candidate is unknown, has other data, or cannot be built.
        DataError: The data set cannot be used.
        WorkdirError: A folder belongs to another training, or cannot be written.
    """
    chosen = choose_candidates(recipe, candidates)
    work = Workdir(workdir)
    images = _read_images(recipe, data, work, split, console)
    rows = []
    for number, (name, network) in enumerate(chosen.items(), start=1):
        console.print(f"candidate {number}/{len(chosen)}: {name}", highlight=False)
        if network is None:
            rows.append(_classical(name, work, images))
        else:
            rows.append(_network(name, network, data, work, images, console))
    comparison = Comparison(
        recipe=recipe.name,
        dataset=images.source.dataset.name,
        data_digest=images.source.digest,
        classes=recipe.data.classes,
        positive=recipe.data.positive,
        splits={
            "train": len(images.source.rows("train")),
            **{split: len(rows) for split, (_, rows) in images.held_out.items()},
        },
        figures=figure_names(recipe.data.positive),
        rows=ranked(rows),
    )
    write_comparison(work, comparison)
    console.print(summary(comparison))
    return comparison


def choose_candidates(recipe: Recipe, names: Sequence[str]) -> Candidates:
    """Find what is meant by some names, and that every network can be built.

    Args:
        recipe: What is compared with: its data, its splits, and for a backbone all but the
            backbone.
        names: Each a backbone, the path of another recipe (``.toml``) with the same data and
            splits, or a classical learner. Without any, the recipe's own backbone and every
            classical learner.

    Raises:
        RecipeError: A name is unknown, a recipe has other data or splits, or a network cannot be
            built.
    """
    chosen: dict[str, Recipe | None] = {}
    for given in dict.fromkeys(names or (recipe.model.backbone, *BASELINES)):
        name, candidate = _candidate(recipe, given)
        if name in chosen:
            raise RecipeError(f"Two candidates are called {name}: give one recipe another name.")
        chosen[name] = candidate
        # Better now than after the hours that the networks before it take.
        if candidate is not None:
            try:
                build_classifier(candidate)
            except RecipeError as error:
                raise RecipeError(f"{name} cannot be compared: {error}") from error
    return chosen


def with_backbone(recipe: Recipe, backbone: str) -> Recipe:
    """The recipe with another backbone.

    A backbone of our own has no weights of ImageNet to start from, and none to fine-tune. A file of
    weights fits one backbone alone, so another one starts with fresh ones.
    """
    if backbone == recipe.model.backbone:
        return recipe
    model: dict[str, object] = {"backbone": backbone}
    training: dict[str, object] = {}
    if backbone in OWN or recipe.model.weights != "imagenet":
        model["weights"] = "none"
        training["fine_tuning"] = None
    if backbone in OWN and recipe.model.standardisation == "imagenet":
        model["standardisation"] = "image"
    changes = {
        "model": recipe.model.model_copy(update=model),
        "training": recipe.training.model_copy(update=training),
    }
    return recipe.model_copy(update=changes)


def _candidate(recipe: Recipe, name: str) -> tuple[str, Recipe | None]:
    if name in BASELINES:
        return name, None
    if name in BACKBONES:
        return name, with_backbone(recipe, name)
    if not name.endswith(".toml"):
        known = ", ".join((*BACKBONES, *BASELINES))
        raise RecipeError(
            f"There is no candidate {name!r}. "
            f"Give the path of a recipe (.toml), or one of: {known}."
        )
    other = read_recipe(name)
    if (other.data, other.split) != (recipe.data, recipe.split):
        raise RecipeError(
            f"{other.name} has other data or splits than {recipe.name}: "
            "only recipes with the same [data] and [split] can be compared."
        )
    return other.name, other


def _read_images(
    recipe: Recipe, data: Path, work: Workdir, split: Split, console: Console
) -> _Images:
    """Decode and split the images of a recipe; the test split only where it is asked for."""
    with progress_bar(console) as bar:
        source = prepare(recipe, data, work, bar)
        held_out: dict[Split, tuple[Source, NDArray[np.int64]]] = {
            "validation": (source, source.rows("validation"))
        }
        if split == "test" and recipe.split.test_share is not None:
            held_out["test"] = source, source.rows("test")
        elif split == "test":
            dataset, digest = read_official_test(recipe, data)
            test = load_source(dataset, digest, recipe, work, "test", bar)
            held_out["test"] = test, test.table.index.to_numpy()
    return _Images(recipe, source, held_out)


def _kept(folder: Path, key: str) -> Row | None:
    """The row of an earlier comparison, where nothing has changed since."""
    try:
        kept = _Kept.model_validate_json((folder / KEPT).read_bytes())
    except (OSError, ValidationError):
        return None
    return kept.row if kept.key == key else None


def _keep(folder: Path, key: str, row: Row) -> Row:
    write_text(folder / KEPT, _Kept(key=key, row=row).model_dump_json(indent=2) + "\n")
    return row


def _classical(name: str, work: Workdir, images: _Images) -> Row:
    """Fit a classical learner, and calibrate and measure it as the networks are."""
    folder, key = work.root / name, images.key(name)
    if (kept := _kept(folder, key)) is not None:
        return kept
    recipe, source = images.recipe, images.source
    described = _described(name.rpartition("-")[2], images)
    baseline = fit_baseline(
        name,
        described["train"],
        source.classes[source.rows("train")],
        border=recipe.model.border,
        seed=recipe.seed,
    )
    shifts = np.stack([baseline.logits(described[s]) for s in recipe.calibration.shifts])
    _, rows = images.held_out["validation"]
    truth = source.classes[rows]
    temperature = fit_temperature(np.concatenate(shifts), np.tile(truth, len(shifts)))
    rules = {rule.label: rule for rule in recipe.operating_points}
    note = ""
    try:
        points = [
            operating_point(
                calibrated(shifts, temperature)[..., number], truth == number, rules[la]
            )
            for number, la in enumerate(recipe.data.classes)
        ]
    except CalibrationError as error:
        points, note = [1.0] * len(rules), str(error)
    logits = {split: baseline.logits(described[split]) for split in images.held_out}
    figures = images.figures(logits, temperature, points)
    if note:
        figures = {
            split: {n: m for n, m in found.items() if n.endswith("auroc")}
            for split, found in figures.items()
        }
    timed = np.asarray(source.images[rows[:50]])
    ms = baseline.ms_per_image(timed)
    row = Row(name=name, kind="classical", figures=figures, ms_per_image=ms, note=note)
    return _keep(folder, key, row)


def _described(features: str, images: _Images) -> dict[str, NDArray[np.float32]]:
    """The training images, those held out, and the validation images under each shift."""
    if features not in images.described:
        source, border = images.source, images.recipe.model.border
        validation = np.asarray(source.images[source.rows("validation")])
        shown = {"train": source.images[source.rows("train")]}
        shown |= {split: held.images[rows] for split, (held, rows) in images.held_out.items()}
        shown |= {name: shifted(validation, name) for name in images.recipe.calibration.shifts}
        images.described[features] = {
            name: describe(features, some, border) for name, some in shown.items()
        }
    return images.described[features]


def _network(
    name: str, recipe: Recipe, data: Path, work: Workdir, images: _Images, console: Console
) -> Row:
    """Train a network in a folder of its own below the comparison's, and measure it.

    One that is finished is not trained again, one that was killed carries on. Where the training
    fails the row only says why.
    """
    own = Workdir(work.root / name)
    _share(work, own)
    try:
        trained = _trained(recipe, data, own, images, console)
    except (TrainingDiverged, CalibrationError) as error:
        return Row(name=name, kind="network", note=str(error))
    finally:
        keras.utils.clear_session()
    if recipe.preprocessing != images.recipe.preprocessing:
        split: Split = "test" if "test" in images.held_out else "validation"
        images = _read_images(recipe, data, own, split, console)
    key = images.key(name, model_digest(own.root), trained.calibration.model_dump_json())
    row = _kept(own.root, key)
    if row is None:
        serving = trained.serving_model()
        logits = {
            split: serving.predict(ImageBatches(source.images, rows), verbose=0)["logits"]
            for split, (source, rows) in images.held_out.items()
        }
        points = [finding.operating_point for finding in trained.calibration.findings]
        figures = images.figures(logits, trained.calibration.temperature, points)
        count = trained.model.count_params()
        row = _keep(
            own.root, key, Row(name=name, kind="network", figures=figures, parameters=count)
        )
    costs = read_graph_measurement(own.root)
    if costs is None:
        return row.model_copy(update={"note": NOT_MEASURED})
    measured = {"onnx_bytes": costs.size_bytes, "ms_per_image": costs.ms_per_image}
    return row.model_copy(update=measured)


def _trained(
    recipe: Recipe, data: Path, own: Workdir, images: _Images, console: Console
) -> TrainedModel:
    with contextlib.suppress(WorkdirIncomplete):
        found = own.load()
        digest = found.provenance.data_digest
        if found.config == recipe and digest == images.source.digest:
            return found
    train(recipe, own.root, data, console)
    return own.load()


def _share(work: Workdir, own: Workdir) -> None:
    """Give a network the comparison's split, and its decoded images."""
    split = work.split_table.read_text(encoding="utf-8")
    if not own.split_table.is_file():
        write_text(own.split_table, split)
    elif own.split_table.read_text(encoding="utf-8") != split:
        raise WorkdirMismatch(
            f"{own.root} holds a training with another split. Remove it, or give a new workdir."
        )
    # Where there are no links the images are decoded once more, and that is all.
    with contextlib.suppress(OSError):
        own.cache.symlink_to(Path("..") / work.cache.name, target_is_directory=True)
