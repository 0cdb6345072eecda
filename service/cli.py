"""``pneumo-serve``: runs the service, checks its models, writes its OpenAPI document.

What a command needs is imported when it runs: the parent of several processes serves nothing, and
needs neither models nor routes.
"""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from contract.errors import ContractError
from service import __version__
from service.errors import ServiceError
from service.machine import Provider
from service.settings import read_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Serve chest image models.")
audit = typer.Typer(no_args_is_help=True, help="Look after the audit trail.")
app.add_typer(audit, name="audit")
ModelsDir = Annotated[Path | None, typer.Option(help="The folder of model bundles.")]
ProviderChoice = Annotated[Provider | None, typer.Option(help="Where models run.")]


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"pneumo-serve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: FBT002 - its callback does it, as typer has options
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say it, and end."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    models_dir: ModelsDir = None,
    provider: ProviderChoice = None,
) -> None:
    """Serve until a signal comes. The PNEUMO_ environment variables hold all other settings."""
    from service.logs import log_start_failure, make_logger
    from service.server import serve, serve_with_workers

    options = {"host": host, "port": port, "models_dir": models_dir, "provider": provider}
    log, code = make_logger("info"), 0
    try:
        settings = read_settings(**options)
        if settings.workers == 1:
            from service.app import create_app

            serve(create_app(settings))
        else:
            # Each worker reads its settings from the environment.
            for name, value in options.items():
                if value is not None:
                    os.environ[f"PNEUMO_{name.upper()}"] = str(value)
            code = serve_with_workers(settings, "service.app:worker_app", log)
    except (ContractError, ServiceError) as error:
        log_start_failure(log, error)
        code = 1
    raise typer.Exit(code)


@app.command()
def check(models_dir: ModelsDir = None, provider: ProviderChoice = None) -> None:
    """Verify and load every model, run each once, and say where it ran."""
    from service.runtime import open_repository

    try:
        repository = open_repository(read_settings(models_dir=models_dir, provider=provider))
    except (ContractError, ServiceError) as error:
        _fail(" ".join(str(error).split()))
    for model in repository.bundles().values():
        manifest = model.manifest
        typer.echo(f"{manifest.name} version {manifest.version}: {model.session.provider}")


@app.command()
def openapi(
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Fail where this file differs.")] = None,
) -> None:
    """Print the OpenAPI document as YAML."""
    from service.app import create_api
    from service.openapi import to_yaml, write_document

    text = to_yaml(write_document(create_api()))
    if check is not None:
        if check.read_text() != text:
            _fail(f"{check.name} is not what the routes say. Write it again with --output.")
    elif output is not None:
        output.write_text(text)
    else:
        typer.echo(text, nl=False)


@audit.command()
def verify(
    url: Annotated[str, typer.Option(envvar="PNEUMO_AUDIT_URL", help="The trail's database.")],
) -> None:
    """Go through the audit trail, and name the first broken record of each chain."""
    from service.audit import verify as broken_records

    try:
        broken = list(broken_records(url))
    except ServiceError as error:
        _fail(str(error))
    for each in broken:
        typer.echo(each, err=True)
    if broken:
        raise typer.Exit(1)
    typer.echo("The audit trail is whole.")


def _fail(message: str) -> NoReturn:
    typer.echo(f"pneumo-serve: {message}", err=True)
    raise typer.Exit(1)
