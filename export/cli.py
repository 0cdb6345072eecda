"""``pneumo-export``: convert a trained model into a bundle, verify a bundle."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from contract.manifest import ReducedPrecision

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_MODELS = Path(__file__).parent.parent / "models"
BundleArgument = Annotated[Path, typer.Argument(help="models/<name>/<version>")]
DataOption = Annotated[Path, typer.Option(help="The data set that the model was trained on.")]
ModelsOption = Annotated[Path, typer.Option(help="The model repository to write into.")]
VersionOption = Annotated[int | None, typer.Option(min=1, help="Default: the next one.")]


@contextmanager
def _one_clear_line(*, framework: bool = False) -> Iterator[None]:
    """Turn our errors into one line; where the framework is needed, import it without its log."""
    from contract.errors import ContractError
    from export.errors import ExportError
    from training.errors import TrainingError
    from training.framework import import_keras

    if framework:
        import_keras()
    try:
        yield
    except (ContractError, ExportError, TrainingError, OSError) as error:
        typer.echo(f"pneumo-export: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def convert(
    workdir: Annotated[Path, typer.Option(help="Where pneumo-train fit and evaluate ran.")],
    data: DataOption,
    models: ModelsOption = _MODELS,
    version: VersionOption = None,
) -> None:
    """Convert a trained model, prove its parity on real images, and write the bundle."""
    with _one_clear_line(framework=True):
        from export.bundle import export_bundle

        typer.echo(export_bundle(workdir, data, models, version))


@app.command()
def convert_lungs(
    workdir: Annotated[
        Path, typer.Option(help="Where fit-lungs, evaluate-lungs and fit-lung-field ran.")
    ],
    data: DataOption,
    models: ModelsOption = _MODELS,
    version: VersionOption = None,
) -> None:
    """Convert a trained segmenter of the lungs, as convert does a model."""
    with _one_clear_line(framework=True):
        from export.bundle import export_segmenter

        typer.echo(export_segmenter(workdir, data, models, version))


@app.command()
def quantize(
    bundle: BundleArgument,
    workdir: Annotated[Path, typer.Option(help="Of the training that the bundle comes from.")],
    data: DataOption,
    precision: Annotated[ReducedPrecision, typer.Option(help="For CPUs; for GPUs.")] = "int8",
) -> None:
    """Add a faster file to a bundle, if it answers the validation images as model.onnx does."""
    with _one_clear_line(framework=True):
        from export.quantize import quantize_bundle, summary

        typer.echo(summary(quantize_bundle(bundle.resolve(), workdir, data, precision)))


@app.command()
def sign(
    bundle: BundleArgument,
    key: Annotated[Path, typer.Option(help="An Ed25519 private key in PEM.")],
) -> None:
    """Sign a bundle, for services that load none but those of a key that they trust."""
    from contract.trust import sign_bundle

    with _one_clear_line():
        typer.echo(sign_bundle(bundle, key.read_bytes()))


@app.command()
def refresh(bundle: BundleArgument) -> None:
    """Write the next version of a bundle, with the graph's parts and golden answers of today."""
    with _one_clear_line(framework=True):
        from export.bundle import refresh_bundle

        for line in refresh_bundle(bundle.resolve()):
            typer.echo(line)


@app.command()
def remeasure(
    bundle: BundleArgument,
    data: DataOption,
    *,
    write: Annotated[bool, typer.Option("--write", help="Put them in manifest and card.")] = False,
) -> None:
    """Measure the held-out images again, as they are decoded and decided today."""
    with _one_clear_line(framework=True):
        from export.remeasure import remeasure_bundle

        for line in remeasure_bundle(bundle.resolve(), data, write=write):
            typer.echo(line)


@app.command()
def verify(
    bundle: BundleArgument,
    images: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="Images to answer for.")
    ] = None,
) -> None:
    """Check a bundle's digest and signature, and print its answer for each image as JSON."""
    from export.verify import answer

    with _one_clear_line():
        answers = answer(bundle.resolve(), images or [])
    for item in answers:
        typer.echo(item.model_dump_json())
    typer.echo(f"{bundle.parent.name}/{bundle.name}: digest and signature are right.", err=True)


@app.command()
def features(
    weights: Annotated[Path, typer.Argument(exists=True, help="EfficientNet-Lite0, as .npz.")],
    output: Annotated[Path, typer.Argument(help="The ONNX file for pneumo-commission.")],
) -> None:
    """Make the frozen feature graph that commissioning puts a site's own head on."""
    with _one_clear_line(framework=True):
        from export.convert import export_features

        export_features(weights, output)
    typer.echo(output)
