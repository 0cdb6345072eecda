"""Writes docs/benchmark.md, or benchmark-gpu.md, from the results of a run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.answers import TOLERANCE
from bench.goals import MIB, Ratio, ratios
from bench.markdown import number, spread, table
from bench.plots import write_plots
from bench.results import Overload, Point, Results, Soak, TargetResult

COMMAND = "make bench"
# As a share of the cores; a machine that does more on the side has no business in a report.
NOISE_SHARE = 0.05
ALTERNATIVE_TEXTS = {
    "throughput": "Bars: images per second of every server by connections, and the limit",
    "latency": "Median and p99 latency of every server at 16 connections",
}


def write_report(results_file: Path, docs: Path) -> Path:
    """Write the page, its plots, and the results that it comes from.

    Args:
        results_file: What a run wrote.
        docs: The folder of the documentation; gets ``benchmark.md`` and ``benchmark/``, and for a
            run on a GPU ``benchmark-gpu.md`` and ``benchmark-gpu/``.

    Returns:
        The page.
    """
    results = Results.model_validate_json(results_file.read_text())
    name = "benchmark" if results.provider == "cpu" else "benchmark-gpu"
    folder = docs / name
    plots = write_plots(results, folder) if results.measured else ()
    copy = folder / "results.json"
    folder.mkdir(parents=True, exist_ok=True)
    if results_file.resolve() != copy.resolve():
        shutil.copyfile(results_file, copy)
    page = docs / f"{name}.md"
    page.write_text(render(results, tuple(f"{name}/{plot.name}" for plot in plots)))
    return page


def render(results: Results, plots: tuple[str, ...] = ()) -> str:
    """The page as Markdown; ``plots`` are links relative to it."""
    return "\n\n".join(_sections(results, plots)) + "\n"


def _sections(results: Results, plots: tuple[str, ...]) -> Iterator[str]:
    yield f"# Benchmark\n\n<!-- Written by `{COMMAND}`; do not edit. -->"
    yield _where(results)
    yield from _warnings(results)
    yield "## Ratios\n\n" + _ratio_table(ratios(results))
    yield from (f"![{ALTERNATIVE_TEXTS[Path(plot).stem]}]({plot})" for plot in plots)
    for connections in _connections(results):
        plural = "" if connections == 1 else "s"
        yield f"## {connections} connection{plural}, closed loop"
        yield _load_table(results, {t.key: t.closed[connections] for t in results.measured})
    if results.measured:
        yield "## Open loop"
        yield "Paced by the clock, at 70 % of what each server does at 16 connections."
        yield _load_table(results, {t.key: t.open for t in results.measured if t.open})
        yield "## Memory and start\n\n" + _resource_table(results)
    if results.overload:
        yield "## Overload\n\n" + _overload(results.overload)
    if results.soak:
        yield "## Soak\n\n" + _soak(results.soak)
    yield "## The in-process limit\n\n" + _limit(results)
    yield "## Settings\n\n" + _settings(results)
    yield "## How it was measured\n\n" + _method(results)


def _connections(results: Results) -> list[int]:
    return list(results.measured[0].closed) if results.measured else []


def _where(results: Results) -> str:
    machine, images, model = results.machine, results.images, results.model
    hardware = f"{machine.cpu_model}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB"
    kind = "full-size radiographs" if images.real else "drawn radiographs (no real ones were found)"
    gpu = f", {machine.gpu}" if machine.gpu else ""
    before = f"\n- Before: revision {results.before}" if results.before else ""
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"{results.started_at:%d %B %Y}, one run on one machine.\n\n"
        f"- Machine: {hardware}{gpu}; {machine.system}, Python {machine.python}\n"
        f"- Model: {model.name} version {model.version}, input {model.height} x {model.width}, "
        f"{model.bytes / MIB:.1f} MiB, fp32, on {results.provider.upper()}\n"
        f"- Images: {images.count} {kind}, JPEG, on average {images.mean_bytes / 1000:.0f} kB and "
        f"{images.mean_pixels / 1e6:.1f} megapixels\n"
        f"- Pneumoscope: revision {results.revision}{before}\n"
        f"- Packages: {packages}"
    )


def _warnings(results: Results) -> Iterator[str]:
    if results.quick:
        yield "> **A quick run: it shows that everything works, and its figures mean nothing.**"
    foreign = _foreign_cores(results)
    if foreign > NOISE_SHARE * results.machine.cores:
        yield (
            f"> **The machine was not quiet: other processes used up to {foreign:.2f} of "
            f"{results.machine.cores} cores. Do not quote these figures.**"
        )


def _foreign_cores(results: Results) -> float:
    points = [point for target in results.measured for point in target.closed.values()]
    return max((point.foreign_cores for point in points), default=0.0)


def _ratio_table(found: tuple[Ratio, ...]) -> str:
    rows = []
    for ratio in found:
        unit = f" {ratio.unit}" if ratio.unit else ""
        goal = "" if ratio.bound is None else f"{ratio.sense} {ratio.bound:g}{unit}"
        verdict = {True: "met", False: "**missed**", None: ""}[ratio.met]
        rows.append((ratio.name, f"{number(ratio.value)}{unit}", goal, verdict))
    return table(("", "measured", "goal", ""), rows)


def _load_table(results: Results, points: dict[str, Point]) -> str:
    header = (
        "server", "images/s", "÷ limit", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms per image",
        "failures",
    )  # fmt: skip
    rows = [
        (
            target.title,
            spread(points[target.key].load.throughput_by_round, points[target.key].load.throughput),
            number(points[target.key].load.throughput / results.limit.images_per_s),
            number(points[target.key].load.p50_ms),
            number(points[target.key].load.p99_ms),
            number(points[target.key].load.p999_ms),
            number(points[target.key].cpu_ms_per_request),
            _failures(points[target.key].load.statuses),
        )
        for target in results.measured
        if target.key in points
    ]
    return table(header, rows)


def _failures(statuses: dict[str, int]) -> str:
    failures = [
        f"{count} with {name}" if name.isdigit() else f"{count} {name}"
        for name, count in statuses.items()
        if name != "200"
    ]
    return ", ".join(failures) or "none"


def _resource_table(results: Results) -> str:
    header = ("server", "resident MiB", "MiB, shared pages once", "start to first answer, s")
    rows = [
        (
            target.title,
            f"{target.resident_bytes / MIB:.0f}",
            f"{target.proportional_bytes / MIB:.0f}",
            spread(target.start_up_s, sorted(target.start_up_s)[len(target.start_up_s) // 2]),
        )
        for target in results.measured
    ]
    return table(header, rows)


def _overload(overload: Overload) -> str:
    load, health = overload.load, overload.health
    return (
        f"Pneumoscope was offered {overload.offered_per_s:.0f} images per second, "
        f"{overload.factor:g} times its peak of {overload.peak_per_s:.0f}. It answered "
        f"{load.throughput:.0f} per second within its deadline of {overload.deadline_s:g} s: "
        f"p50 {number(load.p50_ms)} ms, p99 {number(load.p99_ms)} ms, from the time each was due. "
        f"Not answered: {_failures(load.statuses)}. Meanwhile `/health/live` took "
        f"{number(health.p50_ms)} ms at the median and {number(health.max_ms)} ms at most; "
        f"failures: {_failures(health.statuses)}. The load generator took "
        f"{load.generator_cores:.2f} cores of the same machine."
    )


def _soak(soak: Soak) -> str:
    sizes = ", ".join(f"{size / MIB:.1f}" for size in soak.resident_bytes)
    return (
        f"{soak.requests:,} requests, {soak.load.throughput:.0f} images per second. Resident MiB "
        f"after each tenth: {sizes}. Failures: {_failures(soak.load.statuses)}."
    )


def _limit(results: Results) -> str:
    limit = results.limit
    rows = [
        (
            f"{split.workers} at a time, {split.intra_op_threads} intra-op, batch {split.batch}",
            spread(split.images_per_s, sorted(split.images_per_s)[len(split.images_per_s) // 2]),
        )
        for split in limit.splits
    ]
    return (
        "Decode, resize and `session.run` in one process, without HTTP and without a client: "
        f"**{number(limit.images_per_s)} images per second**, {number(limit.cpu_ms_per_image)} ms "
        f"of CPU each. One image after another takes {number(limit.sequential_ms)} ms. Decode and "
        f"resize alone do {number(limit.decode_per_s)} per second, the model alone "
        f"{number(limit.run_per_s)}.\n\n" + table(("way", "images/s"), rows)
    )


def _settings(results: Results) -> str:
    lines = []
    for target in results.targets:
        if target.not_measured:
            lines.append(f"- {target.title}: not measured, {target.not_measured}.")
            continue
        lines.append(f"- {target.title}: {target.settings}.{_trials(target)}")
    tried = (
        "Before the run, each peer was tried with several settings, for a few seconds at 16 "
        "connections; it was measured with the best.\n\n"
    )
    return (tried if any(target.trials for target in results.targets) else "") + "\n".join(lines)


def _trials(target: TargetResult) -> str:
    rates = [f"{trial.settings}: {number(trial.images_per_s)}" for trial in target.trials]
    return f" Tried, in images/s: {'; '.join(rates)}." if rates else ""


def _method(results: Results) -> str:
    differences = (t.max_difference or 0 for t in results.measured)
    difference = max((each for each in differences if each <= TOLERANCE), default=0)
    return (
        "- Every server runs the same ONNX file (Flask the Keras model it was made from), gets the "
        "same images in the same order, and reads them with the same functions of `contract/`: "
        "JPEG decoded at reduced scale, bilinear resize. Before it is measured, it must answer "
        "every image like the in-process session; in fp32 the largest difference was "
        f"{difference:.1g}.\n"
        "- The load generator (`bench/load.py`) runs in a process of its own on the same machine; "
        f"in the closed loops it took up to {_generator_cores(results):.2f} cores. Latencies of "
        "the open loop count from the time at which a request was due.\n"
        f"- Each load ran {results.seconds:g} s after a warm-up, in {results.rounds} round"
        f"{'' if results.rounds == 1 else 's'} in which all servers took turns. Throughput is the "
        "median, with the range in parentheses; latencies are pooled. A p99.9 needs 1000 answers.\n"
        f"- Other processes used at most {_foreign_cores(results):.2f} of "
        f"{results.machine.cores} cores.\n"
        f"- `{COMMAND}` does all of it again."
    )


def _generator_cores(results: Results) -> float:
    points = [point for target in results.measured for point in target.closed.values()]
    return max((point.load.generator_cores for point in points), default=0.0)
