"""docs/benchmark.md: the goals as data, and a table for each load."""

import statistics
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bench.run import DEFAULT, LOADS, OURS, SHARES, Cell, Results, Target, Visit, targets

LIMIT, VISIT, ANY = "limit", "visit", "any"
Source = tuple[str, str, str]
"""Whose figure, under which load, and its name.

Whose is a server, the best peer with a decoder or with ANY, or the in-process LIMIT. The load VISIT
stands for what is measured once in a round.
"""


class Figures:
    """The medians over the rounds of a run; None for what was not measured."""

    def __init__(self, results: Results) -> None:
        """Look at the results."""
        self.results = results

    def value(self, source: Source, body: str = "raw") -> float | None:
        """One figure."""
        who, load, name = source
        if who == LIMIT:
            return self.limit(name)
        if load == VISIT:
            visits = self._visits(f"{who} {body}")
            return median(getattr(visit, name) for visit in visits if not visit.failure)
        if who in ("pillow", "opencv", "ours", ANY):
            servers = [t.server for t in targets() if t.framework and who in (t.decoder, ANY)]
            found = [self.value((server, load, name)) for server in dict.fromkeys(servers)]
            pick = max if name == "throughput" else min
            return pick((value for value in found if value is not None), default=None)
        return median(self.each(source, body))

    def each(self, source: Source, body: str = "raw") -> list[float]:
        """A figure of a load on a server in every round."""
        server, load, name = source
        found = [getattr(cell, name) for cell in self.cells(f"{server} {body}", load)]
        return [value for value in found if value is not None]

    def cells(self, key: str, load: str) -> list[Cell]:
        """All that a load found of a target, in the rounds that have it."""
        return [visit.cells[load] for visit in self._visits(key) if load in visit.cells]

    def _visits(self, key: str) -> list[Visit]:
        return [visits[key] for visits in self.results.visits if key in visits]

    def limit(self, name: str, server: str = OURS) -> float | None:
        """A figure of the in-process limit in a server's precision."""
        precision = self.results.precisions[server]
        return median(getattr(limits[precision], name) for limits in self.results.limits)


class Goal(NamedTuple):
    """One row of the goals: a figure, divided by another or less another, and what it should be.

    ``int8`` goals are only of machines where the service answers in INT8 by default.
    """

    name: str
    sense: Literal["at least", "at most"]
    bound: float
    figure: Source
    by: Source | None = None
    less: Source | None = None
    unit: str = ""
    scale: float = 1
    int8: bool = False

    def value(self, f: Figures) -> float | None:
        """What was measured; None where something of it was not."""
        value, second = f.value(self.figure), self.by or self.less
        other = f.value(second) if second else 0.0
        is_other_precision = self.int8 and f.results.precisions[DEFAULT] != "int8"
        if value is None or other is None or is_other_precision:
            return None
        if self.by:
            return value / other if other else None
        return (value - other) / self.scale

    def row(self, f: Figures) -> tuple[str, ...]:
        """The goal beside what was measured."""
        value, verdict = self.value(f), "not measured"
        if value is not None:
            met = value >= self.bound if self.sense == "at least" else value <= self.bound
            verdict = "met" if met else "**missed**"
        bound = f"{self.sense} {self.bound:g} {self.unit}".strip()
        return self.name, number(value, self.unit), bound, verdict


_GOALS = tomllib.loads(Path(__file__).with_name("goals.toml").read_text())
GOALS = tuple(Goal(**goal) for goal in _GOALS["goal"])


def write_report(results: Results, page: Path) -> None:
    """Write the page."""
    f = Figures(results)
    sections = [
        "# Benchmark",
        "<!-- Written by `make bench`; do not edit. -->",
        "\n".join(f"- {name}: {text}" for name, text in results.facts.items()),
        f"- Model: {results.model}",
        "## Goals",
        table(("", "measured", "goal", ""), (goal.row(f) for goal in GOALS)),
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
- `make bench` does all of it again."""


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


def _load_section(f: Figures, load: str) -> str:
    header = ("server", "body", "images/s", "range", "p50 ms", "p99 ms", "CPU ms", "other answers")
    rows = [_load_row(f, target, load) for target in targets() if load in target.loads]
    return f"### {load.capitalize()}\n\n{table(header, [row for row in rows if row])}"


def _load_row(f: Figures, target: Target, load: str) -> tuple[str, ...]:
    server, body = target.server, target.body
    rates = f.each((server, load, "throughput"), body)
    if not rates:
        return ()
    span = f"{number(min(rates))}-{number(max(rates))}"
    figures = (f.value((server, load, name), body) for name in ("p50_ms", "p99_ms", "cpu_ms"))
    statuses = sum((Counter(cell.statuses) for cell in f.cells(target.key, load)), Counter())
    others = statuses.total() - statuses["200"]
    return target.title, body, number(median(rates)), span, *map(number, figures), str(others)


def _footprint(f: Figures, target: Target) -> tuple[str, ...]:
    names = ("memory_bytes", "start_s", "difference")
    memory, start, difference = (f.value((target.server, VISIT, name)) for name in names)
    memory = memory and memory / 2**20
    shown = "-" if difference is None else f"{difference:.1g}"
    return target.title, number(memory), number(start), shown


def _limit(f: Figures) -> str:
    names = ("per_s", "cpu_ms", "alone_ms", "decode_ms")
    rows = [
        (precision, *(number(f.limit(name, server)) for name in names))
        # Of several servers with one precision one stands for all.
        for precision, server in {p: s for s, p in f.results.precisions.items()}.items()
    ]
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
