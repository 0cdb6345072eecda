"""docs/benchmark.md: the goals as data, and a table for each load."""

import statistics
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.run import DEFAULT, LOADS, OURS, SHARES, TWO, Results, Target, targets

LIMIT, VISIT, ANY = "limit", "visit", "any"
_GOALS_FILE = Path(__file__).with_name("goals.toml")
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
            visits = [visits.get(f"{who} {body}") for visits in self.results.visits]
            return median(getattr(v, name) for v in visits if v and not v.failure)
        if who in ("pillow", "opencv", "ours", ANY):
            servers = [t.server for t in targets() if t.framework and who in (t.decoder, ANY)]
            found = [self.value((server, load, name)) for server in dict.fromkeys(servers)]
            pick = max if name == "throughput" else min
            return pick((value for value in found if value is not None), default=None)
        return median(self.each(source, body))

    def each(self, source: Source, body: str = "raw") -> list[float]:
        """A figure of a load on a server in every round."""
        server, load, name = source
        visits = (visit.get(f"{server} {body}") for visit in self.results.visits)
        cells = [visit.cells[load] for visit in visits if visit and load in visit.cells]
        found = [getattr(cell, name) for cell in cells]
        return [value for value in found if value is not None]

    def limit(self, name: str, server: str = OURS) -> float | None:
        """A figure of the in-process limit in a server's precision."""
        precision = self.results.precisions[server]
        return median(getattr(limits[precision], name) for limits in self.results.limits)


@dataclass(frozen=True, slots=True)
class Goal:
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
        value = f.value(self.figure)
        others = [f.value(source) for source in (self.by, self.less) if source]
        if (
            value is None
            or None in others
            or (self.int8 and f.results.precisions[DEFAULT] != "int8")
        ):
            return None
        [other] = others or [0.0]
        return value / other if self.by and other else (value - (other or 0)) / self.scale


_MIB = 2**20
GOALS = tuple(Goal(**goal) for goal in tomllib.loads(_GOALS_FILE.read_text())["goal"])


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
    rates = f.each((server, load, "throughput"), body)
    if not rates:
        return ()
    figures = (f.value((server, load, name), body) for name in ("p50_ms", "p99_ms", "cpu_ms"))
    cells = [visit[target.key].cells[load] for visit in f.results.visits if target.key in visit]
    others = sum(
        count for cell in cells for status, count in cell.statuses.items() if status != "200"
    )
    return (
        target.title, body, number(median(rates)), f"{number(min(rates))}-{number(max(rates))}",
        *map(number, figures), str(others),
    )  # fmt: skip


def _footprint(f: Figures, target: Target) -> tuple[str, ...]:
    names = ("memory_bytes", "start_s", "difference")
    memory, start, difference = (f.value((target.server, VISIT, name)) for name in names)
    memory = memory and memory / _MIB
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
