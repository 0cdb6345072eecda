"""Train or fit every candidate, measure all on the same images, and write the comparison."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.atomic import write_text
from training.compare.candidates import Classical, Network, choose_candidates
from training.compare.classical import compare_classical
from training.compare.comparison import Comparison, Row, as_table, ranked
from training.compare.figure import draw_comparison
from training.compare.material import Material, Split, read_material
from training.compare.networks import compare_network
from training.compare.page import interval, render_page
from training.config import Recipe
from training.progress import progress_bar
from training.workdir import Workdir


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
    with progress_bar(console) as bar:
        material = read_material(recipe, data, work, split, bar)
        learners = [candidate for candidate in chosen if isinstance(candidate, Classical)]
        rows = compare_classical(learners, work, material, bar)
    for candidate in chosen:
        if isinstance(candidate, Network):
            rows.append(compare_network(candidate, data, work, material, split, console))
    comparison = _comparison(material, rows)
    _write(work, comparison)
    console.print(summary(comparison))
    return comparison


def _comparison(material: Material, rows: list[Row]) -> Comparison:
    recipe, source = material.recipe, material.source
    return Comparison(
        recipe=recipe.name,
        dataset=source.dataset.name,
        data_digest=source.digest,
        classes=recipe.data.classes,
        positive=recipe.data.positive,
        splits={
            "train": len(source.rows("train")),
            **{split: len(held_out.rows) for split, held_out in material.held_out.items()},
        },
        rows=ranked(rows),
    )


def _write(work: Workdir, comparison: Comparison) -> None:
    picture = work.root / "comparison.png"
    draw_comparison(picture, comparison)
    work.write_table(work.root / "comparison.csv", as_table(comparison))
    write_text(work.root / "comparison.html", render_page(comparison, picture.read_bytes()))
    work.write_json(work.root / "comparison.json", comparison)


def summary(comparison: Comparison) -> Table:
    """The comparison for a terminal: each candidate's AUROC, the best one first."""
    table = Table("candidate", *(f"AUROC, {split}" for split in comparison.measured), "note")
    for row in comparison.rows:
        figures = (interval(row.figure(split, "auroc")) for split in comparison.measured)
        table.add_row(row.name, *figures, row.note)
    return table
