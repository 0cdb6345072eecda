"""Measures archive scoring on nodes of one core each: ``python -m tests.cluster.measure``.

A node is a raylet that is bound to a core, and so is all that it starts. The head has the driver
and no worker, on whatever core is free. Every file has a name and bytes of its own.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ray.cluster_utils import Cluster

from cluster.score import rows_of
from tests.synthetic import as_jpeg, synthetic_radiograph

ROOT = Path(__file__).parents[2]
DRAWINGS = 100
DOLLARS_PER_CORE_HOUR = 0.04
STORE_BYTES = 100 * 1024 * 1024


def draw(folder: Path, number: int, size: int) -> None:
    """Write so many JPEG files; beyond the first hundred, they differ behind the picture's end."""
    drawings = [
        as_jpeg(synthetic_radiograph(size, size, seed=seed), quality=90) for seed in range(DRAWINGS)
    ]
    for each in range(number):
        file = folder / f"{each // 1000:03}" / f"{each:06}.jpg"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(drawings[each % DRAWINGS] + each.to_bytes(4, "little"))


def measured(archive: Path, number: int, cores: int) -> str:
    """Score an archive on so many nodes; a row of a table of what was seen."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    own = os.sched_getaffinity(0)
    try:
        for core in sorted(own)[:cores]:
            os.sched_setaffinity(0, {core})
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        os.sched_setaffinity(0, own)
        cluster.wait_for_nodes()
        with tempfile.TemporaryDirectory() as output:
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "cluster.score", "--input", archive, "--output", output],
                cwd=ROOT,
                env={**os.environ, "RAY_ADDRESS": cluster.address},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            wall = time.monotonic() - began
            rows = rows_of(Path(output), ["file", "status", "scored_at"])
    finally:
        os.sched_setaffinity(0, own)
        cluster.shutdown()
    files = Counter(rows.column("file").to_pylist())
    assert len(files) == number
    assert set(files.values()) == {1}
    assert set(rows.column("status").to_pylist()) == {"ok"}
    # Between the first and the last tenth every worker reads; before, models load.
    times = np.sort(rows.column("scored_at").to_numpy()).astype("datetime64[ms]").astype(float)
    first, last = (int(number * part) for part in (0.1, 0.9))
    rate = (last - first) / (times[last] - times[first]) * 1000
    cost = 1e6 / rate / 3600 * cores * DOLLARS_PER_CORE_HOUR
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return f"| {cores} | {number} | {wall:.0f} s | {rate:.1f}/s | {cost:.2f} | {peak:.0f} MiB |"


def main(
    films: Annotated[int, typer.Option(help="Files, 1024 pixels square, for each rate.")] = 2000,
    files: Annotated[int, typer.Option(help="Files, 256 pixels square, on two nodes.")] = 100_000,
) -> None:
    """Print a table: nodes, files, time, rate, dollars per million, most memory of a process."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large"), Path(folder, "small")
        draw(large, films, 1024)
        draw(small, files, 256)
        for archive, number, cores in ((large, films, 1), (large, films, 2), (small, files, 2)):
            typer.echo(measured(archive, number, cores))


if __name__ == "__main__":
    typer.run(main)
