"""What a model answers on each of its sources, had it not known it as a source."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from training.calibrate import calibrated, operating_points, without_wrong_calls
from training.errors import WorkdirIncomplete
from training.evidence import (
    OTHERS,
    Border,
    Embedded,
    SourceHeads,
    distances,
    numbered,
    place_sources,
)
from training.ood import OodScorer
from training.source import list_images, load_source, read_training_data
from training.train import embedded, last_layer, named_sources
from training.workdir import TrainedModel, Workdir, load_trained


def leave_out(workdir: Path, data: Path, console: Console) -> pd.DataFrame:
    """Leave each source out in turn of the border, of the layers and of the operating points.

    The network has seen the source's images all the same; features that the training has left as
    they were have not. Operating points are those of images as they are, without the shifts. Of
    each ``source`` the table has its ``images``, the share that is ``answered``, the ``accuracy``
    of that, and what it was ``taken_for``, the sources behind the answers.

    Raises:
        TrainingError: As ``evaluate``, or where the model does not tell its sources apart.
    """
    work, trained = Workdir(workdir), load_trained(workdir)
    if trained.heads is None:
        raise WorkdirIncomplete(f"{workdir} is of a recipe without calibration.by_source.")
    recipe = trained.config
    known = load_source(*read_training_data(trained, data), recipe, work, "development", console)
    known = replace(known, table=work.read_split(known.table))
    test = load_source(*list_images(recipe, data, "test"), recipe, work, "test", console)
    order = np.random.default_rng(recipe.seed).permutation(known.rows("train"))
    parts, origins = [], []
    for source, rows in (
        (known, order),
        (known, known.rows("validation")),
        (test, test.table.index.to_numpy()),
    ):
        parts.append(embedded(trained.model, source, rows, ()))
        origins.append(source.table.loc[rows, "source"].to_numpy(np.str_))
    asked, asked_of = parts[0].and_also(parts[1]).and_also(parts[2]), np.concatenate(origins)
    found = []
    for name in np.unique(asked_of).tolist():
        names = named_sources(known.table[known.table["source"] != name])
        train, validation = (
            part._replace(owners=numbered(origin, names)).of(origin != name)
            for part, origin in zip(parts[:2], origins[:2], strict=True)
        )
        border = Border(names, _heads(trained, trained.heads, names), validation.owners)
        scorer = place_sources(train, validation, recipe)
        row = _answers(trained, border, validation, asked.of(asked_of == name), scorer)
        found.append({"source": name, **row})
    return pd.DataFrame(found)


def _heads(trained: TrainedModel, own: SourceHeads, names: Sequence[str]) -> SourceHeads:
    """The layers of some sources; others have the pooled one, and nothing is shown of them."""
    (weights, bias), _ = last_layer(trained.model, trained.config)
    trained_names = list(trained.calibration.sources)
    parts = []
    for name in names:
        if name in trained_names and name != OTHERS:
            number = trained_names.index(name)
            parts.append([getattr(own, f.name)[number] for f in fields(SourceHeads)])
        else:
            parts.append([weights, bias, np.zeros(len(bias), bool)])
    return SourceHeads(*map(np.stack, zip(*parts, strict=True)))


def _answers(
    trained: TrainedModel, border: Border, validation: Embedded, asked: Embedded, scorer: OodScorer
) -> dict[str, object]:
    temperature = trained.calibration.temperature
    near = distances(scorer, validation)
    border = border.as_answered(near)
    said = calibrated(border.heads.logits(validation.features, near.argmin(axis=1)), temperature)
    border = without_wrong_calls(border, said, validation.classes, trained.config)
    points = operating_points(said[np.newaxis], validation.classes, trained.config, border)
    far = distances(scorer, asked)
    nearest = far.argmin(axis=1)
    probabilities = calibrated(border.heads.logits(asked.features, nearest), temperature)
    called, rows = probabilities.argmax(axis=1), np.arange(len(far))
    answered = (far.min(axis=1) <= 1) & border.heads.shown[nearest, called]
    answered &= probabilities[rows, called] >= np.array(points)[called]
    right = (called == asked.classes)[answered]
    names, counts = np.unique(np.array(border.names)[nearest[answered]], return_counts=True)
    return {
        "images": len(far),
        "answered": float(answered.mean()),
        "accuracy": float(right.mean()) if len(right) else float("nan"),
        "taken_for": ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True)),
    }
