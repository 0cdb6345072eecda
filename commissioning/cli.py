"""``pneumo-commission``: what is this model worth on our own images?"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from rich.console import Console
from threadpoolctl import threadpool_limits

from commissioning.bundle import write_bundle
from commissioning.candidates import Shipped
from commissioning.errors import CommissioningError, LabelsUnusable
from commissioning.graph import Backbone, last_layer, measurement_graph
from commissioning.labels import read_labels, without_duplicates
from commissioning.measure import measure
from commissioning.report import describe_set_aside, write_report
from commissioning.trial import run_trial
from contract.dicom_facts import says_lateral
from contract.errors import ContractError
from contract.manifest import INTENDED_USE, read_manifest, read_verified_model
from export.graph import with_whole_weights

_COPY = "It is a copy of another image."
_LATERAL = "The view is lateral, as the label table says."
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
        base = _base(models / model, version)
        folder = workdir or Path("commissioning-reports") / site
        floors = floor_auroc, floor
        bundle = _commission(base, images, labels, site, features, floors, folder, console)
    except (CommissioningError, ContractError, OSError) as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error
    if bundle:
        console.print(f"Written: {bundle}. Reload the service to serve it.")
    console.print(INTENDED_USE)
    raise typer.Exit(0 if bundle else NOT_FIT)


def _commission(
    base: Path,
    images: Path,
    labels: Path,
    site: str,
    features: Backbone,
    floors: tuple[float, float],
    workdir: Path,
    console: Console,
) -> Path | None:
    """Check, measure, try, judge, report, and write what was earned: a bundle, or nothing."""
    manifest = read_manifest(base)
    model = with_whole_weights(onnx.load_from_string(read_verified_model(base, manifest)))
    named = read_labels(images, labels, manifest.labels)
    graph = measurement_graph(model, features)
    measured = measure(named.paths, manifest, graph, workdir / "measured", console)
    lateral = named.table["view"].str.upper().map(says_lateral).to_numpy(np.bool_)
    told = (measured.problem == "") & lateral & manifest.reads_radiographs
    problems = np.where(told, _LATERAL, measured.problem)
    pixels = np.where(problems == "", measured.digest, "")
    labelled, kept = without_duplicates(named, pixels.tolist())
    set_aside = Counter(problems[problems != ""].tolist())
    copies = len(named) - set_aside.total() - len(kept)
    set_aside += Counter({_COPY: copies})
    measured = measured.take(kept)
    if len(labelled.findings) < 2 or labelled.missing():
        found = ", ".join(f"{n} {name}" for name, n in labelled.counts().items())
        needs = ", ".join(f"{n} more {name}" for name, n in labelled.missing().items())
        raise LabelsUnusable(
            f"Too few images to judge by ({found or 'none'}): "
            f"{needs or 'images of another finding'} needed. {describe_set_aside(set_aside)}"
        )
    console.print(describe_set_aside(set_aside))
    columns = tuple(manifest.labels.index(name) for name in labelled.findings)
    layer = last_layer(model)
    shipped = Shipped(manifest, layer and layer[1:], columns)
    # The many small fits lose more by waiting for each other's threads than they gain.
    with threadpool_limits(1):
        trial = run_trial(labelled, measured, shipped, floors, console)
    console.print(f"{trial.verdict.upper()}. {trial.why}")
    sites = (read_manifest(folder).site for folder in _versions(base.parent))
    earlier = next((made for made in sites if made and made.name == site), None)
    report = write_report(trial, site, set_aside, earlier, workdir)
    console.print("Report: {}, {}".format(*report))
    return None if trial.verdict == "not fit" else write_bundle(base, features, trial, site)


def _base(model: Path, version: int | None) -> Path:
    """The bundle of a version, or of the latest that no site has made its own."""
    for folder in _versions(model) if version is None else [model / str(version)]:
        if read_manifest(folder).site is None:
            return folder
    raise LabelsUnusable(
        f"{model.name} has no version here that no site has made its own. Commission the "
        "version that those were made from."
    )


def _versions(model: Path) -> list[Path]:
    """The folders of its versions, the newest first."""
    numbered = [folder for folder in model.glob("*") if folder.name.isdigit()]
    return sorted(numbered, key=lambda folder: -int(folder.name))
