"""docs/benchmark.md: the goals as data, and a table for each load."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.run import BUSY, DEFAULT, LOADS, OURS, OVERLOAD, SHARES, TWO, Results, Target, targets

Value = Callable[["Figures"], float | None]


class Figures:
    """The medians over the rounds of a run; None for what was not measured."""

    def __init__(self, results: Results) -> None:
        """Look at the results."""
        self.results = results

    def cell(self, server: str, load: str, name: str, body: str = "raw") -> float | None:
        """The median of a figure of a load, such as ``throughput`` or ``cpu_ms``."""
        return median(self.each(server, load, name, body))

    def each(self, server: str, load: str, name: str, body: str = "raw") -> list[float]:
        """That figure in every round."""
        visits = (visit.get(f"{server} {body}") for visit in self.results.visits)
        cells = [visit.cells[load] for visit in visits if visit and load in visit.cells]
        values = [
            cell.cpu_ms if name == "cpu_ms" else getattr(cell.figures, name) for cell in cells
        ]
        return [value for value in values if value is not None]

    def visit(self, server: str, name: str) -> float | None:
        """The median of what was measured once in a round, such as ``memory_bytes``."""
        visits = [visit.get(f"{server} raw") for visit in self.results.visits]
        return median(getattr(visit, name) for visit in visits if visit and not visit.failure)

    def limit(self, name: str, server: str = OURS) -> float | None:
        """The median of a figure of the in-process limit in a server's precision."""
        precision = self.results.precisions[server]
        return median(
            getattr(limits[precision], name)
            for limits in self.results.limits
            if precision in limits
        )

    def best(
        self, decoder: str, load: str, name: str, pick: Callable[..., float] = max
    ) -> float | None:
        """The best of the two peers with a decoder."""
        found = [self.cell(f"{peer}-{decoder}", load, name) for peer in ("fastapi", "litserve")]
        values = [value for value in found if value is not None]
        return pick(values) if values else None


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the goals: what is measured, and what it should be."""

    name: str
    sense: Literal["at least", "at most"]
    bound: float
    value: Value
    unit: str = ""


def ratio(of: Value, to: Value) -> Value:
    """One value divided by another, where there are both."""

    def value(figures: Figures) -> float | None:
        first, second = of(figures), to(figures)
        return first / second if first is not None and second else None

    return value


def _against(server: str, decoder: str) -> Value:
    return ratio(
        lambda f: f.cell(server, BUSY, "throughput"),
        lambda f: f.best(decoder, BUSY, "throughput"),
    )


def _alone(decoder: str) -> Value:
    return ratio(_latency, lambda f: f.best(decoder, "closed 1", "p50_ms", min))


def _latency(f: Figures) -> float | None:
    return f.cell(OURS, "closed 1", "p50_ms")


def _of_int8(value: Value) -> Value:
    return lambda f: value(f) if f.results.precisions[DEFAULT] == "int8" else None


def _tail(f: Figures) -> float | None:
    found = (
        f.best(decoder, "open 70 %", "p99_ms", min) for decoder in ("pillow", "opencv", "ours")
    )
    return min((value for value in found if value is not None), default=None)


def _beyond(f: Figures) -> float | None:
    spent, limit = f.cell(OURS, BUSY, "cpu_ms"), f.limit("cpu_ms")
    return spent - limit if spent is not None and limit is not None else None


def _scaled(value: Value, unit: float) -> Value:
    return ratio(value, lambda _: unit)


def _memory(server: str) -> Value:
    return _scaled(lambda f: f.visit(server, "memory_bytes"), 2**20)


def _of_limit(name: str) -> Value:
    return lambda f: f.limit(name)


def _ours(load: str, name: str) -> Value:
    return lambda f: f.cell(OURS, load, name)


_LEAST: Literal["at least"] = "at least"
_MOST: Literal["at most"] = "at most"
_INT8 = "Images/s at 16, INT8 by default ÷ best peer with"
GOALS = (
    Goal("Images/s at 16 ÷ best peer with Pillow", _LEAST, 1.5, _against(OURS, "pillow")),
    Goal("Images/s at 16 ÷ best peer with OpenCV", _LEAST, 1.15, _against(OURS, "opencv")),
    Goal(f"{_INT8} Pillow", _LEAST, 1.9, _of_int8(_against(DEFAULT, "pillow"))),
    Goal(f"{_INT8} OpenCV", _LEAST, 1.4, _of_int8(_against(DEFAULT, "opencv"))),
    Goal("Images/s at 16 ÷ best peer with our decode", _LEAST, 1.05, _against(OURS, "ours")),
    Goal("CPU per image beyond the in-process limit", _MOST, 1.0, _beyond, "ms"),
    Goal(
        "Images/s at 16 ÷ in-process limit, raw body",
        _LEAST,
        0.75,
        ratio(_ours(BUSY, "throughput"), _of_limit("per_s")),
    ),
    Goal(
        "p99 at 70 % of its own peak ÷ lowest of a peer",
        _MOST,
        1.0,
        ratio(_ours("open 70 %", "p99_ms"), _tail),
    ),
    Goal("Latency at 1 ÷ best peer with Pillow", _MOST, 1.0, _alone("pillow")),
    Goal("Latency at 1 ÷ best peer with OpenCV", _MOST, 1.15, _alone("opencv")),
    Goal("Decode and resize of a full-size JPEG", _MOST, 2.7, _of_limit("decode_ms"), "ms"),
    Goal(
        "Goodput at 4 times capacity ÷ peak",
        _LEAST,
        0.8,
        ratio(_ours(OVERLOAD, "throughput"), _ours(BUSY, "throughput")),
    ),
    Goal(
        "p99 of the accepted at 4 times capacity",
        _MOST,
        0.5,
        _scaled(_ours(OVERLOAD, "p99_ms"), 1000),
        "s",
    ),
    Goal("Memory with all models, one process", _MOST, 240, _memory(OURS), "MiB"),
    Goal("Memory with all models, two processes", _MOST, 450, _memory(TWO), "MiB"),
    Goal("Start to first answer", _MOST, 2, lambda f: f.visit(OURS, "start_s"), "s"),
)


def write_report(results: Results, page: Path) -> None:
    """Write the page."""
    f = Figures(results)
    sections = [
        "# Benchmark",
        "<!-- Written by `make bench`; do not edit. -->",
        "\n".join(f"- {name}: {text}" for name, text in results.facts.items()),
        f"- Model: {results.model}",
        "## Goals",
        table(("", "measured", "goal", ""), map(_goal(f), GOALS)),
        "## Open loop, paced by the clock",
        "At a share of what each server does at most in a closed loop; latencies count from the "
        "time at which a request was due.",
        *(_load_section(f, load) for load in ("open 70 %", "open 50 %", "open 85 %")),
        "## Closed loop",
        *(_load_section(f, load) for load in LOADS if load not in SHARES),
        "## Memory and start",
        table(
            ("server", "MiB, shared pages once", "start to first answer, s", "difference"),
            (_footprint(f, target) for target in targets() if target.body == "raw"),
        ),
        "The difference is the largest between a server's probabilities and the session's; a peer "
        "with its own decode sees other pixels.",
        _limit(f),
        *_failures(results),
        _METHOD,
    ]
    page.write_text("\n\n".join(sections) + "\n")


_METHOD = """\
## How it was measured

- Every server runs the same ONNX file on the same images. As documented, a peer decodes with Pillow
  or OpenCV in full and has its default settings; with our decode it has a worker for each core.
- "As it comes" is the service without any setting; what precision that is stands under Goals.
- The load generator (`bench/load.py`) is a process of its own on the same machine.
- All servers take turns, round after round. Figures are medians over the rounds.
- `make bench` does all of it again, and goes on where it was stopped."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, unit: str = "") -> str:
    """With three digits; a dash where there is none."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}".strip()


def median(values: Iterable[float]) -> float | None:
    """Of what there is; None where there is nothing."""
    found = list(values)
    return statistics.median(found) if found else None


def _goal(f: Figures) -> Callable[[Goal], tuple[str, ...]]:
    def row(goal: Goal) -> tuple[str, ...]:
        value, verdict = goal.value(f), "not measured"
        if value is not None:
            met = value >= goal.bound if goal.sense == "at least" else value <= goal.bound
            verdict = "met" if met else "**missed**"
        bound = f"{goal.sense} {goal.bound:g} {goal.unit}".strip()
        return goal.name, number(value, goal.unit), bound, verdict

    return row


def _load_section(f: Figures, load: str) -> str:
    header = ("server", "body", "images/s", "range", "p50 ms", "p99 ms", "CPU ms", "other answers")
    rows = [_load_row(f, target, load) for target in targets() if load in target.loads]
    return f"### {load.capitalize()}\n\n{table(header, [row for row in rows if row])}"


def _load_row(f: Figures, target: Target, load: str) -> tuple[str, ...]:
    server, body = target.server, target.body
    rates = f.each(server, load, "throughput", body)
    if not rates:
        return ()
    figures = (f.cell(server, load, name, body) for name in ("p50_ms", "p99_ms", "cpu_ms"))
    cells = [visit[target.key].cells[load] for visit in f.results.visits if target.key in visit]
    others = sum(
        count
        for cell in cells
        for status, count in cell.figures.statuses.items()
        if status != "200"
    )
    return (
        target.title, body, number(median(rates)), f"{number(min(rates))}-{number(max(rates))}",
        *map(number, figures), str(others),
    )  # fmt: skip


def _footprint(f: Figures, target: Target) -> tuple[str, ...]:
    memory, start = _memory(target.server)(f), f.visit(target.server, "start_s")
    difference = f.visit(target.server, "difference")
    shown = "-" if difference is None else f"{difference:.1g}"
    return target.title, number(memory), number(start), shown


def _limit(f: Figures) -> str:
    names = ("per_s", "cpu_ms", "alone_ms", "decode_ms")
    rows = [
        (precision, *(number(f.limit(name, server)) for name in names))
        for server, precision in f.results.precisions.items()
        if server != TWO
    ]  # fmt: skip
    header = ("precision", "images/s", "CPU ms", "one after another, ms", "decode and resize, ms")
    text = "Decode, resize and `session.run` on all cores in one process, without HTTP."
    return f"## The in-process limit\n\n{text}\n\n{table(header, rows)}"


def _failures(results: Results) -> Iterable[str]:
    found = {
        f"- {key}: {visit.failure}"
        for visits in results.visits
        for key, visit in visits.items()
        if visit.failure
    }
    if found:
        yield "## Not measured\n\n" + "\n".join(sorted(found))
