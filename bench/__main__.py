"""``python -m bench``: measure, and write docs/benchmark.md."""

from pathlib import Path
from typing import Annotated

import typer

from bench.load import LoadFailed
from bench.report import write_report
from bench.run import REPOSITORY, Plan, measure
from bench.servers import ServerFailed


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each load is measured.")] = 1.6,
    warmup: Annotated[float, typer.Option(min=0, help="What of each load does not count.")] = 0.4,
    only: Annotated[str, typer.Option(help="Keys of the only servers, with commas.")] = "",
    models: Annotated[Path, typer.Option(help="The model repository.")] = REPOSITORY / "models",
    results: Annotated[Path, typer.Option(help="What was measured, as JSON.")] = REPOSITORY
    / "build/bench/results.json",
    page: Annotated[Path, typer.Option(help="Where the report goes.")] = REPOSITORY
    / "docs/benchmark.md",
) -> None:
    """Measure this service, its peers and the in-process limit on this machine."""
    chosen = tuple(key for key in only.split(",") if key)
    plan = Plan(rounds, seconds, warmup, chosen, models.resolve())
    try:
        found = measure(plan, results, lambda text: typer.echo(text, err=True))
    except (LoadFailed, ServerFailed) as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from error
    write_report(found, page)
    typer.echo(page)


if __name__ == "__main__":
    typer.run(main)
