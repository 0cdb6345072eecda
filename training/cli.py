"""``pneumo-train``: train a recipe, and evaluate what came of it.

The commands import the framework only when they run, so that ``--help`` answers at once, and after
its chatter has been turned off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.errors import TrainingError
from training.quiet import import_keras_quietly

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__.splitlines()[0],
)

DataOption = Annotated[Path, typer.Option("--data", help="Folder of the data set.")]
WorkdirOption = Annotated[Path, typer.Option("--workdir", help="Folder of this training.")]


class EvaluatedSplit(StrEnum):
    """What may be evaluated."""

    TEST = "test"
    VALIDATION = "validation"


@app.command()
def fit(
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or path of a TOML file.")],
    data: DataOption,
    workdir: WorkdirOption,
) -> None:
    """Train a recipe; start it again after a kill, and it carries on."""
    with _for_people():
        from training.config import read_recipe
        from training.train import fit as run

        run(read_recipe(recipe), data, workdir, Console())
        typer.echo(f"{workdir} holds the trained model. Next: pneumo-train evaluate.")


@app.command()
def evaluate(
    workdir: WorkdirOption,
    data: DataOption,
    split: Annotated[EvaluatedSplit, typer.Option()] = EvaluatedSplit.TEST,
) -> None:
    """Measure a finished training; nothing is chosen or changed by it."""
    with _for_people():
        from training.evaluate import evaluate as run

        evaluation = run(data, workdir, split.value, Console())
        table = Table("figure", "value", "95 % interval", title=evaluation.metrics[0].dataset)
        for m in evaluation.metrics:
            table.add_row(m.name, f"{m.value:.4g}", f"{m.lower:.4g} to {m.upper:.4g}")
        Console().print(table)


@contextmanager
def _for_people() -> Iterator[None]:
    """Silence what is not meant for people, and turn our errors into one line."""
    import_keras_quietly()
    try:
        yield
    except TrainingError as error:
        typer.echo(f"pneumo-train: {error}", err=True)
        raise typer.Exit(1) from error
