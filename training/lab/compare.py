"""``pneumo-train compare``: networks on one split, to choose among them."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import keras
import pandas as pd
from rich.console import Console

from training.config import Recipe, read_recipe
from training.errors import CalibrationError, RecipeError, TrainingDiverged
from training.evaluate import evaluate
from training.models import build_classifier
from training.train import prepare, train
from training.workdir import Workdir

FIGURES = ("auroc", "macro_auroc", "sensitivity", "specificity", "balanced_accuracy", "accuracy")

Split = Literal["validation", "test"]


def compare(
    recipe: Recipe,
    data: Path,
    workdir: Path,
    candidates: Sequence[str],
    console: Console,
    split: Split = "validation",
) -> pd.DataFrame:
    """Compare a recipe with candidates of the same data and splits.

    All learn from the same images and have their operating points chosen on the same validation
    images, by the recipe's rules. They are ranked by what they do there, so that the test split,
    which may be shown beside it, chooses nothing. A comparison that was killed carries on;
    candidates may be added later. Each has a folder in the workdir. The table, which stands in
    ``comparison.csv`` too, has for each candidate its ``parameters``, the value, ``lower`` and
    ``upper`` of each figure, and a ``note`` where the training failed.
    """
    chosen = choose_candidates(recipe, candidates)
    work = Workdir(workdir)
    source = prepare(recipe, data, work, console)
    merit = "validation_macro_auroc" if recipe.data.positive is None else "validation_auroc"
    rows = []
    for name, network in chosen.items():
        console.print(f"candidate {len(rows) + 1}/{len(chosen)}: {name}", highlight=False)
        own = Workdir(work.root / name)
        if not own.split_table.is_file():
            own.write_table(own.split_table, source.table)
        # Where there are no links the images are decoded once more, and that is all.
        with contextlib.suppress(OSError):
            own.cache.symlink_to(Path("..") / work.cache.name, target_is_directory=True)
        row: dict[str, object] = {"candidate": name, merit: math.nan}
        try:
            # Of a finished network only the calibration is done again.
            train(network, own.root, data, console)
            row["parameters"] = own.load_model().count_params()
            for shown in dict.fromkeys(("validation", split)):
                for m in evaluate(data, own.root, shown, console).metrics:
                    if m.name in FIGURES and m.label is None and m.source is None:
                        figure = f"{shown}_{m.name}"
                        row |= {
                            figure: m.value,
                            f"{figure}_lower": m.lower,
                            f"{figure}_upper": m.upper,
                        }
        except (TrainingDiverged, CalibrationError) as error:
            row["note"] = str(error)
        finally:
            keras.utils.clear_session()
        rows.append(row)
    table = pd.DataFrame(rows).sort_values(merit, ascending=False)
    work.write_table(work.root / "comparison.csv", table)
    return table


def choose_candidates(recipe: Recipe, names: Sequence[str]) -> Mapping[str, Recipe]:
    """Read the recipes to compare, and see that every network can be built: ``RecipeError``."""
    chosen: dict[str, Recipe] = {}
    for candidate in (recipe, *map(read_recipe, names)):
        name = candidate.name
        if name in chosen:
            raise RecipeError(f"Two candidates are called {name}: give one recipe another name.")
        if (candidate.data, candidate.split) != (recipe.data, recipe.split):
            raise RecipeError(
                f"{name} has other data or splits than {recipe.name}: "
                "only recipes with the same [data] and [split] can be compared."
            )
        # Better now than after the hours that the networks before it take.
        build_classifier(candidate)
        chosen[name] = candidate
    return chosen
