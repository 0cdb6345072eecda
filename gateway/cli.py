"""``pneumo-gateway``: runs the gateway, tries its rules, shows and replays its queue."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from gateway import intake, logs, runtime
from gateway.config import read_config
from gateway.destinations import Commitments, sender
from gateway.errors import GatewayError, Unacceptable
from gateway.rules import route
from gateway.service import Services
from gateway.store import QueueName, Store
from gateway.tables import Instance

app = typer.Typer(add_completion=False, no_args_is_help=True, help="DICOM in, a report back.")
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="The settings; else PNEUMO_GATEWAY_CONFIG.")
]


@app.command()
def run(config: ConfigFile = None) -> None:
    """Take instances in and send results out, until a signal comes."""
    logs.configure()
    with _errors_in_one_line():
        runtime.run(read_config(config))


@app.command()
def check(
    folder: Annotated[Path | None, typer.Argument(help="DICOM files to try the rules on.")] = None,
    config: ConfigFile = None,
    calling: Annotated[str, typer.Option(help="As if this title had sent them.")] = "",
    called: Annotated[str, typer.Option(help="As if to this title.")] = "",
) -> None:
    """Check the settings, and say of each file of a folder which rule takes it, or why none."""
    with _errors_in_one_line():
        settings = read_config(config)
        files = sorted(f for f in folder.rglob("*") if f.is_file()) if folder else []
    for file in files:
        # Under whatever UID, from these titles.
        instance = Instance(sop_uid="", source="folder", calling=calling, called=called)
        outcome = route(settings.rules, file, instance)
        what = outcome.rule.name if outcome.rule else f"{outcome.state}: {outcome.reason}"
        typer.echo(f"{file.name}: {what}")


@app.command()
def queue(
    config: ConfigFile = None,
    name: Annotated[QueueName | None, typer.Option(help="List this queue.")] = None,
    state: Annotated[str, typer.Option(help="List the rows of this state.")] = "parked",
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
) -> None:
    """Count what waits, is done, is parked; or list it, one JSON object a line."""
    with _errors_in_one_line(), closing(Store(read_config(config).database)) as store:
        if name is None:
            typer.echo(json.dumps(store.counts(), indent=2))
            return
        for row in store.listing(name, state, limit):
            shown = {name: value for name, value in row.items() if name not in ("facts", "path")}
            typer.echo(json.dumps(shown))


@app.command()
def replay(
    name: Annotated[QueueName, typer.Argument(help="The queue.")],
    row: Annotated[int | None, typer.Option(help="One row; by default all.")] = None,
    config: ConfigFile = None,
) -> None:
    """Queue what is parked once more; of instances also what no rule took."""
    with _errors_in_one_line():
        settings = read_config(config)
        with closing(Store(settings.database, settings.state_dir)) as store:
            count = intake.replay(settings.rules, store, name, row)
    typer.echo(f"{count} replayed")


@app.command()
def deidentify(
    folder: Annotated[Path, typer.Argument(help="DICOM files; they stay as they are.")],
    to: Annotated[Path, typer.Argument(help="Where the copies go.")],
) -> None:
    """Copy images without what identifies the patient, for export and debugging.

    Attributes follow the Basic Profile of PS3.15. The pixels are not changed: text that is burnt in
    stays, and so does a face that can be recognized.
    """
    # Loaded where it is wanted.
    from gateway.deidentification import deidentify_file

    with _errors_in_one_line():
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        to.mkdir(parents=True, exist_ok=True)
    refused = 0
    for file in files:
        try:
            copy = deidentify_file(file, to)
            typer.echo(f"{file.name}: {copy.name}")
        except Unacceptable as error:
            refused += 1
            typer.echo(f"{file.name}: refused: {error}", err=True)
    typer.echo(
        f"{len(files) - refused} copied, {refused} refused. Pixels are not changed: look "
        "for burnt-in text before you pass them on."
    )
    raise typer.Exit(1 if refused else 0)


@app.command()
def echo(config: ConfigFile = None) -> None:
    """Ask every destination and service whether it is there."""
    with _errors_in_one_line():
        settings = read_config(config)
        services = Services(settings.service)
    there = {"service": services.ready()}
    for destination in settings.destinations:
        with closing(sender(destination, settings.dicom.ae_titles[0], Commitments())) as it:
            there[destination.name] = it.echo()
    for who, is_there in there.items():
        typer.echo(f"{who}: {'there' if is_there else 'away'}")
    raise typer.Exit(0 if all(there.values()) else 1)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except (GatewayError, OSError) as error:
        typer.echo(f"pneumo-gateway: {error}", err=True)
        raise typer.Exit(1) from error
    except SQLAlchemyError as error:
        typer.echo(f"pneumo-gateway: the database: {type(error).__name__}", err=True)
        raise typer.Exit(1) from error
