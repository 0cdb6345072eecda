"""``pneumo-commission``: what is this model worth on our own images?"""

from pathlib import Path
from typing import Annotated

import onnx
import typer
from rich.console import Console
from rich.progress import Progress

from commissioning.commission import commission, find_base
from commissioning.errors import CommissioningError
from commissioning.graph import Backbone
from commissioning.report import describe_set_aside
from contract.errors import ContractError
from contract.manifest import INTENDED_USE

app = typer.Typer(add_completion=False)
NOT_FIT = 3
DEFAULT_BACKBONE = Path(__file__).with_name("efficientnet-lite0-block11.onnx")


@app.command()
def run(
    model: Annotated[str, typer.Option(help="The model's name in the models folder.")],
    images: Annotated[Path, typer.Option(exists=True, help="What the paths are relative to.")],
    labels: Annotated[Path, typer.Option(exists=True, help="CSV, or a folder for each finding.")],
    site: Annotated[str, typer.Option(help="The site's name, as the answers will say it.")],
    models: Annotated[Path, typer.Option(exists=True, help="The models folder.")] = Path("models"),
    version: Annotated[int | None, typer.Option(help="The version; the latest by default.")] = None,
    backbone: Annotated[
        Path | None, typer.Option(exists=True, help="Another frozen feature graph (ONNX).")
    ] = None,
    mean: Annotated[str, typer.Option(help="Its pixel mean, of 0 to 255, by colour.")] = "0",
    scale: Annotated[str, typer.Option(help="Its pixel scale, by colour.")] = "1",
    floor_auroc: Annotated[float, typer.Option(help="Least lower end of the AUROC.")] = 0.80,
    floor: Annotated[float, typer.Option(help="Least lower end of the accuracy.")] = 0.85,
    workdir: Annotated[Path | None, typer.Option(help="For measurements and the report.")] = None,
) -> None:
    """Judge a model on labelled images of your own, and write a version if it earns one.

    Exit status: 0 fit or refer only, 3 not fit, 1 the input cannot be used.
    """
    console = Console(stderr=True)
    features = Backbone(
        onnx.load(backbone or DEFAULT_BACKBONE),
        (backbone or DEFAULT_BACKBONE).name,
        tuple(map(float, mean.split(","))),
        tuple(map(float, scale.split(","))),
    )
    try:
        base = find_base(models / model, version)
        with Progress(console=console) as bar:
            task = bar.add_task("images", total=None)
            outcome = commission(
                base, images, labels, site, features, (floor_auroc, floor),
                workdir or Path("commissioning-reports") / site,
                lambda done, total: bar.update(task, completed=done, total=total),
                lambda name: bar.console.print(f"trying: {name}"),
            )  # fmt: skip
    except (CommissioningError, ContractError, OSError) as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error
    console.print(describe_set_aside(outcome.set_aside))
    console.print(f"{outcome.trial.verdict.upper()}. {outcome.trial.why}")
    console.print(f"Report: {outcome.report}, {outcome.pdf}")
    if outcome.bundle:
        console.print(f"Written: {outcome.bundle}. Reload the service to serve it.")
    console.print(INTENDED_USE)
    raise typer.Exit(0 if outcome.bundle else NOT_FIT)
