"""Decode a million mutated files: ``make fuzz``. What fails is kept in ``build/fuzz``."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tests.fuzz.inputs import mutated
from tests.fuzz.run import Fault, run

FOUND = Path("build/fuzz")


def main(
    inputs: Annotated[int, typer.Option(help="How many inputs.", min=1)] = 1_000_000,
    first: Annotated[int, typer.Option(help="The number of the first, to go on.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Another seed gives other inputs.")] = 1,
) -> None:
    """Decode mutated files, and fail where one does what none may do."""
    begun, at, faults = time.monotonic(), first, 0
    try:
        for seen in run(partial(mutated, seed), first, first + inputs):
            if isinstance(seen, Fault):
                faults += 1
                FOUND.mkdir(parents=True, exist_ok=True)
                file = FOUND / f"{seed}-{seen.number}.bin"
                file.write_bytes(mutated(seed, seen.number))
                typer.echo(f"\n{file}: {seen.words}")
            else:
                at = seen
                rate = (at - first) / (time.monotonic() - begun)
                typer.echo(f"\r{at - first} of {inputs}, {rate:.0f}/s, {faults} faults ", nl=False)
    except KeyboardInterrupt:
        typer.echo(f"\nGo on with --first {at} --seed {seed}.")
        raise typer.Exit(130) from None
    typer.echo()
    raise typer.Exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
