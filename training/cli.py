"""``pneumo-train``: explore images, train a recipe, compare and tune, evaluate what came of it.

The commands import the framework only when they run, so that ``--help`` answers at once, and with
its log turned off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from training.errors import TrainingError
from training.framework import import_keras

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__.splitlines()[0],
)

RecipeOption = Annotated[
    str, typer.Option("--recipe", help="Name of a shipped recipe, or path of a TOML file.")
]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the data set.")]
WorkdirOption = Annotated[Path, typer.Option("--workdir", help="Folder of this training.")]
OodOption = Annotated[
    Path | None,
    typer.Option(
        "--ood", help="A folder with a folder for each kind of images that must be refused."
    ),
]
LungsOption = Annotated[
    Path | None, typer.Option("--lungs", help="Workdir of the segmenter, to find the lungs.")
]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", help="none, imagenet or a file, not the recipe's.")
]


@app.command()
def explore(
    recipe: RecipeOption,
    data: DataOption,
    output: Annotated[Path, typer.Option(help="Folder of the page and its pictures.")],
) -> None:
    """Look at a recipe's images before training: a page of counts, copies and shortcuts."""
    with _for_people(framework=False):
        from training.config import read_recipe
        from training.lab.explore import explore as run
        from training.source import read_pool, tell_dropped

        dataset = read_pool(read_recipe(recipe).data, data, ("train", "test"))
        tell_dropped(dataset, _console())
        for finding in run(dataset, output, _console()):
            typer.echo(f"- {finding}")
        typer.echo(f"{output / 'index.html'} shows the images.")


@app.command()
def fit(
    recipe: RecipeOption,
    data: DataOption,
    workdir: WorkdirOption,
    weights: WeightsOption = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A source to leave out; may be given again.")
    ] = None,
    hold_out: Annotated[
        Literal["patient", "image"] | None,
        typer.Option(help="Draw a fifth of these to test, whatever the recipe says."),
    ] = None,
) -> None:
    """Train a recipe; start it again after a kill, and it carries on."""
    with _for_people():
        from training.config import read_recipe
        from training.train import train

        asked = read_recipe(recipe)
        chosen = asked.with_changes(weights=weights, leave_out=leave_out, hold_out=hold_out)
        train(chosen, workdir, data, _console())
        typer.echo(f"{workdir} holds the trained model. Next: pneumo-train evaluate.")


@app.command()
def compare(
    recipe: RecipeOption,
    data: DataOption,
    workdir: WorkdirOption,
    candidate: Annotated[
        list[str] | None, typer.Option(help="Another recipe; may be given again.")
    ] = None,
    weights: WeightsOption = None,
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="Shown beside the validation split.")
    ] = "validation",
) -> None:
    """Compare networks on one split; start it again, and it carries on."""
    with _for_people():
        from training.config import read_recipe
        from training.lab.compare import compare as run

        chosen = read_recipe(recipe).with_changes(weights=weights)
        table = run(chosen, data, workdir, candidate or [], _console(), split)
        typer.echo(table.to_string(index=False, float_format="{:.4f}".format))


@app.command()
def tune(
    recipe: RecipeOption,
    data: DataOption,
    workdir: WorkdirOption,
    trials: Annotated[int, typer.Option(min=1, help="How many, earlier ones included.")] = 20,
    epochs: Annotated[int, typer.Option(min=1, help="How long a trial may be.")] = 8,
    hours: Annotated[float | None, typer.Option(min=0, help="Begin no trial after this.")] = None,
) -> None:
    """Search for better values of a recipe, and write the winner as a recipe."""
    with _for_people():
        from training.config import read_recipe
        from training.lab.tune import tune as run

        best, auroc = run(read_recipe(recipe), data, workdir, trials, epochs, _console(), hours)
        typer.echo(f"{best}: validation AUROC {auroc:.4f} in short training.")


@app.command()
def evaluate(
    workdir: WorkdirOption,
    data: DataOption,
    split: Annotated[Literal["test", "validation", "left-out"], typer.Option()] = "test",
    *,
    report: Annotated[bool, typer.Option(help="Also the shortcut checks and the page.")] = False,
    lungs: LungsOption = None,
    ood: OodOption = None,
) -> None:
    """Measure a finished training; nothing is chosen or changed by it."""
    with _for_people():
        from training.evaluate import evaluate as run
        from training.lungs import load_segment

        segment = load_segment(lungs) if lungs else None
        checks = {"report": report, "segment": segment, "ood_folder": ood}
        found = run(data, workdir, split, _console(), **checks)
        table = Table("figure", "value", "95 % interval", title=found.metrics[0].dataset)
        for m in found.metrics:
            if m.label is None and m.source is None:
                table.add_row(m.name, f"{m.value:.4g}", f"{m.lower:.4g} to {m.upper:.4g}")
        _console().print(table)


@app.command("leave-out")
def leave_out(workdir: WorkdirOption, data: DataOption) -> None:
    """Ask a model for each of its sources as if it did not know that source."""
    with _for_people():
        from training.leave_out import leave_out as run

        found = run(workdir, data, _console())
        found.to_csv(workdir / "leave-out.csv", index=False)
        typer.echo(found.round(3).to_string(index=False))


@app.command()
def fit_lungs(data: DataOption, workdir: WorkdirOption) -> None:
    """Train the segmenter of the lungs; start it again after a kill, and it carries on."""
    with _for_people():
        from training.config import read_segmenter_recipe
        from training.lungs import train_lungs

        train_lungs(read_segmenter_recipe(), workdir, data, _console())
        typer.echo(f"{workdir} holds the segmenter. Next: pneumo-train evaluate-lungs.")


@app.command()
def evaluate_lungs(data: DataOption, workdir: WorkdirOption) -> None:
    """Measure the segmenter on the patients that it was not trained on."""
    with _for_people():
        from training.lungs import evaluate_lungs as run

        for m in run(data, workdir).metrics:
            typer.echo(f"{m.name}: {m.value:.3f} ({m.lower:.3f} to {m.upper:.3f})")


@app.command("fit-lung-field")
def fit_lung_field(recipe: RecipeOption, data: DataOption, workdir: WorkdirOption) -> None:
    """Fit how much of the lungs must be in view, on the images of a classifier's recipe."""
    with _for_people():
        from training.config import read_recipe
        from training.lungs import fit_lung_field as run

        found = run(read_recipe(recipe), data, workdir)
        typer.echo(f"{workdir}: lungs are in view from {found.limits.lower:.3f}.")


def _console() -> Console:
    # Names of files may have square brackets, which are no markup.
    return Console(markup=False)


@contextmanager
def _for_people(*, framework: bool = True) -> Iterator[None]:
    """Silence what is not meant for people, and turn our errors into one line."""
    if framework:
        import_keras()
    try:
        yield
    except TrainingError as error:
        typer.echo(f"pneumo-train: {error}", err=True)
        raise typer.Exit(1) from error
