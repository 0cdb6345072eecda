"""``pneumo-serve``: runs the service, checks its models, writes its OpenAPI document."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import ContractError
from service.app import create_api
from service.cpus import available_cpus
from service.errors import ServiceError
from service.openapi import to_yaml, write_document
from service.recorded_split import write_split
from service.runtime import open_repository
from service.settings import Provider, read_settings
from service.thread_split import measure_thread_splits
from service.workers import cpus_of, start

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Serve chest image models.")
ModelsDir = Annotated[Path | None, typer.Option(help="The folder of model bundles.")]
ProviderChoice = Annotated[Provider | None, typer.Option(help="Where models run.")]


@app.command()
def run(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    models_dir: ModelsDir = None,
    provider: ProviderChoice = None,
) -> None:
    """Serve until a signal comes. The PNEUMO_ environment variables hold all other settings."""
    with _errors_in_one_line():
        start(read_settings(host=host, port=port, models_dir=models_dir, provider=provider))


@app.command()
def check(models_dir: ModelsDir = None, provider: ProviderChoice = None) -> None:
    """Verify and load every model, run each once, and say where it ran."""
    with _errors_in_one_line():
        repository = open_repository(read_settings(models_dir=models_dir, provider=provider))
    for model in repository.all():
        manifest = model.manifest
        typer.echo(f"{manifest.name} version {manifest.version}: {model.session.provider}")
    if (segmenter := repository.segmenter) is not None:
        finds = segmenter.manifest
        typer.echo(f"{finds.name} version {finds.version}: {segmenter.graph.provider}")


@app.command()
def threads(
    models_dir: ModelsDir = None,
    record: Annotated[
        Path | None, typer.Option(help="Keep the best in this file, PNEUMO_THREAD_SPLIT_FILE.")
    ] = None,
) -> None:
    """Measure how the CPUs are best shared out, on a machine that does nothing else."""
    with _errors_in_one_line():
        settings = read_settings(models_dir=models_dir, provider="cpu")
        splits = measure_thread_splits(settings, cpus_of(settings, 0, available_cpus()))
        for split in splits:
            typer.echo(
                f"{split.images_per_s:.0f} images/s with PNEUMO_DECODE_WORKERS={split.runs} "
                f"PNEUMO_INFERENCE_WORKERS={split.runs} "
                f"PNEUMO_INTRA_OP_THREADS={split.intra_op_threads}"
            )
        if record is not None:
            write_split(record, splits[0])


@app.command()
def openapi(
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Fail where this file differs.")] = None,
) -> None:
    """Print the OpenAPI document as YAML."""
    text = to_yaml(write_document(create_api()))
    if check is not None:
        if check.read_text() != text:
            _fail(f"{check.name} is not what the routes say. Write it again with --output.")
    elif output is not None:
        output.write_text(text)
    else:
        typer.echo(text, nl=False)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except (ContractError, ServiceError) as error:
        _fail(" ".join(str(error).split()))


def _fail(message: str) -> None:
    typer.echo(f"pneumo-serve: {message}", err=True)
    raise typer.Exit(1)
