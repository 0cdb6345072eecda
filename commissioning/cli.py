"""``pneumo-commission``: what is this model worth on our own images?"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from google.protobuf.message import DecodeError
from rich.console import Console
from threadpoolctl import threadpool_limits

from commissioning.bundle import draft_bundle, publish
from commissioning.candidates import Shipped
from commissioning.errors import (
    BackboneUnusable,
    CommissioningError,
    LabelsUnusable,
    ModelUnusable,
)
from commissioning.graph import Backbone, last_layer, measurement_graph
from commissioning.labels import read_labels, without_duplicates
from commissioning.measure import measure
from commissioning.report import describe_set_aside, write_report
from commissioning.trial import run_trial
from contract.dicom_facts import side_in_words
from contract.errors import ContractError
from contract.manifest import INTENDED_USE, is_segmenter, read_manifest, read_verified_model
from export.graph import with_whole_weights

_COPY = "It is a copy of another image."
_NOT_FRONTAL = "The view is lateral or oblique, as the label table says."
app = typer.Typer(add_completion=False)
NOT_FIT = 3
DEFAULT_BACKBONE = Path(__file__).with_name("efficientnet-lite0-block11.onnx")
_LONGEST_NAME = 60


def _site_name(name: str) -> str:
    """Refuse what cannot stand on a card, or gives no folder's name."""
    if len(name) > _LONGEST_NAME or not name.isprintable() or not any(map(str.isalnum, name)):
        raise typer.BadParameter(
            f"A site's name has letters or digits and at most {_LONGEST_NAME} printable characters."
        )
    return name


def _numbers(text: str) -> str:
    """Refuse what is no list of numbers."""
    try:
        fine = all(math.isfinite(float(number)) for number in text.split(","))
    except ValueError:
        fine = False
    if not fine:
        raise typer.BadParameter("Give one number, or one for each colour, as 123.7,116.3,103.5.")
    return text


NameOption = Annotated[
    str, typer.Option(callback=_site_name, help="The site's name, as the answers will say it.")
]


@app.command()
def run(
    model: Annotated[str, typer.Option(help="The model's name in the models folder.")],
    images: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="What paths start from.")
    ],
    labels: Annotated[Path, typer.Option(exists=True, help="CSV, or a folder for each finding.")],
    site: NameOption,
    models: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The models folder.")
    ] = Path("models"),
    version: Annotated[int | None, typer.Option(help="The version; the latest by default.")] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Another frozen feature graph (ONNX)."),
    ] = None,
    mean: Annotated[
        str, typer.Option(callback=_numbers, help="Its pixel mean, of 0 to 255, by colour.")
    ] = "0",
    scale: Annotated[
        str, typer.Option(callback=_numbers, help="Its pixel scale, by colour.")
    ] = "1",
    floor_auroc: Annotated[
        float, typer.Option(min=0, max=1, help="Least lower end of the AUROC.")
    ] = 0.80,
    floor: Annotated[
        float, typer.Option(min=0, max=1, help="Least lower end of the accuracy.")
    ] = 0.85,
    workdir: Annotated[Path | None, typer.Option(help="For measurements and the report.")] = None,
) -> None:
    """Judge a model on labelled images of your own, and write a version if it earns one.

    Exit status: 0 fit or refer only, 3 not fit, 1 the input cannot be used, 2 an option is wrong.
    """
    # Names of files may have square brackets, which are no markup.
    console = Console(stderr=True, markup=False)
    try:
        features = _backbone(backbone or DEFAULT_BACKBONE, mean, scale)
        base = _base(models, model, version)
        # One folder, whatever the name has.
        part = re.sub(r"[^\w .-]", "_", site).strip(" .")
        folder = workdir or Path("commissioning-reports") / part
        floors = floor_auroc, floor
        bundle = _commission(base, images, labels, site, features, floors, folder, console)
    except (CommissioningError, ContractError, OSError) as error:
        console.print(str(error), style="red")
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
    for note in named.notes:
        console.print(note)
    graph = measurement_graph(model, features)
    measured = measure(named.paths, manifest, graph, workdir / "measured", console)
    is_side = named.table["view"].str.upper().map(side_in_words).notna().to_numpy(np.bool_)
    told = (measured.problem == "") & is_side & manifest.reads_radiographs
    problems = np.where(told, _NOT_FRONTAL, measured.problem)
    pixels = np.where(problems == "", measured.digest, "")
    labelled, kept = without_duplicates(named, pixels.tolist())
    set_aside = Counter(problems[problems != ""].tolist())
    copies = len(named) - set_aside.total() - len(kept)
    set_aside += Counter({_COPY: copies})
    measured = measured.take(kept)
    if len(labelled.findings) < 2 or labelled.missing():
        found = ", ".join(f"{n} {name}" for name, n in labelled.counts().items())
        needs = ", ".join(labelled.missing()) or "images of another finding"
        raise LabelsUnusable(
            f"Too little to judge by ({found or 'no image'}, of "
            f"{labelled.table['patient'].nunique()} patients): {needs} needed. "
            f"{describe_set_aside(set_aside)}"
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
    fit = trial.verdict != "not fit"
    draft, written = draft_bundle(base, features, trial, site) if fit else (None, None)
    report = write_report(trial, site, set_aside, earlier, written, workdir)
    console.print("Report: {}, {}".format(*report))
    return publish(draft, written) if draft and written else None


def _backbone(file: Path, mean: str, scale: str) -> Backbone:
    try:
        proto = onnx.load(file)
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise BackboneUnusable(f"{file} is no ONNX graph: {error}") from error
    by_colour = (tuple(map(float, text.split(","))) for text in (mean, scale))
    return Backbone(proto, file.name, *by_colour)


def _base(models: Path, name: str, version: int | None) -> Path:
    """The bundle of a version, or of the latest that no site has made its own."""
    newest = {folder.name: _versions(folder)[:1] for folder in models.iterdir()}
    if any(map(is_segmenter, newest.get(name, []))):
        raise ModelUnusable(f"{name} is a segmenter and calls no finding.")
    names = sorted(n for n, of in newest.items() if of and not is_segmenter(of[0]))
    if name not in names:
        raise ModelUnusable(f"There is no model {name!r} in {models}; there are {_listed(names)}.")
    folders = {int(folder.name): folder for folder in _versions(models / name)}
    if version is None:
        # Where sites made all of them, the newest one says what to take.
        shipped = (n for n, folder in folders.items() if read_manifest(folder).site is None)
        version = next(shipped, max(folders))
    if version not in folders:
        numbers = _listed(map(str, sorted(folders)))
        raise ModelUnusable(f"{name} has no version {version} here; there are {numbers}.")
    if made := read_manifest(folders[version]).site:
        raise ModelUnusable(
            f"Version {version} of {name} was made for a site, {made.name}; "
            f"take version {made.base_version}, which it was made from."
        )
    return folders[version]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _versions(model: Path) -> list[Path]:
    """The folders of its versions, the newest first."""
    numbered = [folder for folder in model.glob("*") if folder.name.isdecimal()]
    return sorted(numbered, key=lambda folder: -int(folder.name))
