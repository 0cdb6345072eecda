"""``pneumo-score``: reads a whole archive with one model, and writes Parquet.

Ray Data hands the files out; each worker holds the service itself, so an archive is read by the
same code, with the same limits and the same problems, as a request. What is done is a file of its
own for each batch, written under another name first: a run that was killed goes on where it was,
and a batch that is read twice replaces itself. A file that an archive does not give is a row; an
archive that is away is waited for, and ends the run where that lasts.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import ray
import typer
from ray.exceptions import RayError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tenacity import Retrying, retry_if_not_exception_type, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_exponential

from cluster.facts import facts_of
from cluster.report import COLUMNS, write_report
from cluster.sources import Source, open_source
from contract.manifest import INTENDED_USE
from service.app import create_app
from service.logs import silence_quoting_libraries
from service.settings import read_settings

BATCH = 64
READY_S = 120
LATER = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
DONE = pa.schema([("file", pa.string())])
# The last line of a traceback.
_WORDS = re.compile(r"^(?:\w+\.)*\w+Error: (.+)$", re.MULTILINE)
# ``study_date`` is the partition; ``problem`` is the slug of what is wrong with a file.
_TEXTS = ("file", "sha256", "study_date", "site", "device", "modality", "status", "problem")
_TEXTS += ("detail", "decision", "model", "digest", "precision")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("reasons", pa.list_(pa.string())),
        ("probabilities", pa.map_(pa.string(), pa.float32())),
        ("ood_score", pa.float32()),
        ("version", pa.int32()),
        ("scored_at", pa.timestamp("ms", tz="UTC")),
    ],
    metadata={b"intended_use": INTENDED_USE.encode()},
)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Scorer:
    """One worker: the service, in this process, and the source it reads from."""

    def __init__(self, source: Source, output: Path, model: str | None, patience_s: float) -> None:
        silence_quoting_libraries()
        self._source, self._output = source, output
        self._chosen = {} if model is None else {"model": model}
        wait, there = wait_exponential(0.5, 30), retry_if_not_exception_type(FileNotFoundError)
        self._soon = Retrying(stop=stop_after_attempt(4), wait=wait, retry=there, reraise=True)
        self._back = Retrying(stop=stop_after_delay(patience_s), wait=wait, reraise=True)
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._start())

    async def _start(self) -> httpx.AsyncClient:
        settings = read_settings(threads=1, decoders=1, log_level="error", host="127.0.0.1")
        service = create_app(settings)
        self._open = AsyncExitStack()
        await self._open.enter_async_context(service.router.lifespan_context(service))
        # Nothing goes over a network: this is a way to call the application.
        transport = httpx.ASGITransport(app=service)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=3600)
        end = time.monotonic() + READY_S
        while (await client.get("/health/ready")).status_code != httpx.codes.OK:
            failure = service.state.runtime.failure
            if failure is not None or time.monotonic() > end:
                raise RuntimeError(f"The models do not load: {failure or 'too slow'}")
            await asyncio.sleep(0.1)
        return client

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[int]]:
        """Read the files of a batch, write what came of them, and say how many there were."""
        names = [str(name) for name in batch["file"]]
        rows = self._loop.run_until_complete(self._read_all(names))
        write_batch(self._output, names, rows)
        return {"files": [len(rows)], "dead": [sum(row["status"] != "ok" for row in rows)]}

    async def _read_all(self, names: Sequence[str]) -> list[dict[str, Any]]:
        # One more than the thread, so that the next file is there when it is free.
        free = asyncio.Semaphore(2)

        async def read(name: str) -> dict[str, Any]:
            async with free:
                return await self._read(name)

        return list(await asyncio.gather(*map(read, names)))

    async def _read(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] = {"file": name, "scored_at": datetime.now(UTC), "status": "rejected"}
        try:
            data = await asyncio.to_thread(self._bytes, name)
        except (OSError, ValueError) as error:
            return row | {"problem": "unreadable", "detail": type(error).__name__}
        row |= {"sha256": hashlib.sha256(data).hexdigest()} | facts_of(data)
        ask = {"params": self._chosen, "headers": {"content-type": "application/octet-stream"}}
        while True:
            answer = await self._client.post("/predict/image", content=data, **ask)
            if answer.status_code not in LATER:
                break
            await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
        return row | (_said(answer.json()) if answer.is_success else _problem(answer.json()))

    def _bytes(self, name: str) -> bytes:
        """The bytes of a file; what an archive that is there refuses is the file's own fault."""
        try:
            return self._soon(self._source.read, name)
        except OSError:
            try:
                self._back(self._source.check)
            except OSError as error:
                raise RuntimeError(f"The archive is away: {error}.") from error
            return self._source.read(name)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    [result] = body["results"]
    model = result.get("model", body["model"])
    return {
        "status": "ok",
        "modality": result["image"].get("modality"),
        "decision": result["decision"],
        "reasons": result["reasons"],
        "probabilities": [(each["label"], each["probability"]) for each in result["findings"]],
        "ood_score": result.get("out_of_distribution", {}).get("score"),
        "model": model["name"],
        "version": model["version"],
        "digest": model["digest"],
        "precision": body["precision"],
    }


def _problem(body: dict[str, Any]) -> dict[str, Any]:
    return {"problem": body["type"].rpartition("/")[2], "detail": body.get("detail")}


def write_batch(output: Path, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of a batch into their partitions, then the names as done.

    The files of a batch are named for its content, so a batch that is written again replaces
    itself. The last one says that all the others are there.
    """
    key = hashlib.sha256("\0".join(names).encode()).hexdigest()[:24]
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    dates = [row.get("study_date") or "unknown" for row in rows]
    for date in sorted(set(dates)):
        chosen = table.filter(pa.array([each == date for each in dates]))
        _write(chosen.drop_columns("study_date"), output / f"study_date={date}" / f"{key}.parquet")
    _write(pa.table({"file": list(names)}, DONE), output / "_done" / f"{key}.parquet")


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, unfinished)
    unfinished.replace(path)


def done(output: Path) -> set[str]:
    """The files that have a row of a whole batch."""
    return set(rows_of(output, ["file"]).column("file").to_pylist())


def _is_whole(path: Path) -> bool:
    """Whether a file of rows is of a batch that was written to its end."""
    return (path.parents[1] / "_done" / path.name).exists()


def rows_of(output: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Every row that was written for a whole batch; Parquet, partitioned by the study's date."""
    files = [str(path) for path in output.glob("study_date=*/*.parquet") if _is_whole(path)]
    partitions = pads.partitioning(pa.schema([("study_date", pa.string())]), flavor="hive")
    return pads.dataset(
        files,
        schema=SCHEMA,
        format="parquet",
        partitioning=partitions,
        partition_base_dir=str(output),
    ).to_table(columns=columns)


@app.command()
def score(
    input: Annotated[str, typer.Option(help="A folder, s3://…, or dicomweb+https://….")],  # noqa: A002
    output: Annotated[Path, typer.Option(help="The folder for Parquet and the report.")],
    model: Annotated[str | None, typer.Option(help="By default the one for the modality.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="By default one for each CPU.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of a worker, or a part of one.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Files of a batch.")] = BATCH,
    key_file: Annotated[Path | None, typer.Option(help="The bearer token of DICOMweb.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds that the archive may be away.")] = 600,
) -> None:
    """Read every file of an archive. Started again, it goes on where it was.

    Research only. Not for diagnosis.
    """
    source, output = open_source(input, key_file and key_file.resolve()), output.resolve()
    (output / "_done").mkdir(parents=True, exist_ok=True)
    _same_run(output, {"input": input, "model": model})
    finished = done(output)
    names = [name for name in sorted(set(source.names())) if name not in finished]
    typer.echo(f"{len(names)} files to read, {len(finished)} are done.")
    if names:
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        counts = _counts((source, output, model, patience), names, workers, gpus, batch)
        try:
            _progress(counts, len(names))
        except RayError as error:
            # Ray's advice on retries stands behind the error's own words.
            *_, why = _WORDS.findall(str(error)) or [type(error).__name__]
            typer.echo(f"pneumo-score: {why} Started again, it goes on where it was.", err=True)
            raise typer.Exit(1) from error
    # Not before: a worker of a run that was killed may still be at its batch.
    for path in output.glob("study_date=*/*"):
        if not _is_whole(path):
            path.unlink(missing_ok=True)
    page = write_report(rows_of(output, COLUMNS), output / "report.html")
    typer.echo(f"The report is {page}.")


def _counts(
    worker: tuple[object, ...], names: Sequence[str], workers: int, gpus: float, batch: int
) -> Iterator[tuple[int, int]]:
    """Have all files read, and tell of each batch its files and how many could not be."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = max(1, -(-len(names) // batch))
    read = ray.data.from_items([{"file": name} for name in names], override_num_blocks=blocks)
    counted = read.map_batches(
        Scorer,
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(size=workers),
        fn_constructor_args=worker,
        num_cpus=1,
        num_gpus=gpus or None,
    )
    for row in counted.iter_rows():
        yield row["files"], row["dead"]


def _progress(counts: Iterable[tuple[int, int]], total: int) -> None:
    """Show how far a run is, how fast, and how many files could not be read."""
    shown = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    started, read, unread = time.monotonic(), 0, 0
    with Progress(*shown, TimeRemainingColumn()) as progress:
        task = progress.add_task("the models load", total=total)
        for files, dead in counts:
            read, unread = read + files, unread + dead
            rate = read / (time.monotonic() - started)
            said = f"{rate:.1f}/s, {unread} not read"
            progress.update(task, advance=files, description=said)


def _same_run(output: Path, asked: dict[str, str | None]) -> None:
    """Refuse to go on with another archive or model in the same folder."""
    file = output / "_run.json"
    if not file.exists():
        file.write_text(json.dumps(asked))
    elif (before := json.loads(file.read_text())) != asked:
        typer.echo(
            f"pneumo-score: {output} holds a run over {before}. Name another folder.", err=True
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
