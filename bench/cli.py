"""``python -m bench``: measures, and writes the report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench.context import Context
from bench.errors import BenchError
from bench.images import load_images
from bench.peer_targets import peers
from bench.plan import full_plan, quick_plan
from bench.results import Provider
from bench.run import Extras, measure_all
from bench.targets import REPOSITORY, ours, parse_variant, prepare, select
from contract.errors import ContractError
from service.cpus import available_cpus

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Compare with the peers.")
RESULTS = REPOSITORY / "build" / "bench" / "results.json"


@app.command()
def run(
    *,
    models: Annotated[Path, typer.Option(help="The model repository.")] = REPOSITORY / "models",
    output: Annotated[Path, typer.Option(help="Where the results go, as JSON.")] = RESULTS,
    provider: Annotated[Provider, typer.Option(help="Where models run.")] = "cpu",
    only: Annotated[str, typer.Option(help="Keys of the only targets, with commas.")] = "",
    keras: Annotated[Path | None, typer.Option(help="The trained model.keras, for Flask.")] = None,
    before: Annotated[Path | None, typer.Option(help="Another checkout, to compare with.")] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="This service set otherwise: NAME:VARIABLE=VALUE,…")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 2,
    seconds: Annotated[float, typer.Option(min=1, help="How long each load is measured.")] = 10,
    soak: Annotated[
        int, typer.Option(min=0, help="Requests to watch the memory over; 0: none.")
    ] = 0,
    overload: Annotated[bool, typer.Option(help="Offer four times the capacity as well.")] = True,
    quick: Annotated[bool, typer.Option(help="Only see that everything works.")] = False,
) -> None:
    """Measure the in-process limit, this service and its peers on this machine."""
    cores = available_cpus()
    plan = quick_plan() if quick else full_plan(rounds, seconds, soak, cores)
    with _errors_in_one_line(), TemporaryDirectory(prefix="b") as scratch:
        conditions = prepare(models, provider, cores, Path(scratch), keras)
        variants = tuple(parse_variant(text) for text in variant or ())
        own = ours(provider, cores, before, variants)
        targets = select((*own, *peers(cores)), only)
        context = Context(conditions, plan, load_images(), _say)
        results = measure_all(context, targets, Extras(overload, before))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(results.model_dump_json(indent=1) + "\n")


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="What a run wrote.")] = RESULTS,
    docs: Annotated[Path, typer.Option(help="The folder of the page.")] = REPOSITORY / "docs",
) -> None:
    """Write the page, its plots and its results into the documentation."""
    # Only this needs matplotlib, which a machine with a GPU may lack.
    from bench.report import write_report

    typer.echo(write_report(results, docs))


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except (BenchError, ContractError) as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from error
