"""Figures as tables: the same on the page of a report and on a model's card."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from contract.manifest import Metric
from training.conformal import PREFIX as CONFORMAL
from training.measure import COUNTED
from training.ood_report import Detection

HONESTY_PREFIXES = (
    "source_probe_",
    "border_",
    "lungs_",
    "left_out_",
    "under_",
    "heatmap_",
    "severity_",
    "strange_",
    CONFORMAL,
)
ACRONYMS = {"auroc": "AUROC", "auprc": "AUPRC", "ece": "ECE", "f1": "F1", "jpeg": "JPEG"}
COUNTS = ("positives", "negatives", COUNTED)

BY_CLASS = (
    "auroc",
    "auprc",
    "accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "f1",
    "refer_share",
    "accuracy_answered",
)
BY_SOURCE = ("macro_auroc", "accuracy", "refer_share", "accuracy_answered")
BY_CLASS_AND_SOURCE = ("auroc", "sensitivity", "specificity")
COVERED = (f"{CONFORMAL}coverage", f"{CONFORMAL}refer_share", f"{CONFORMAL}error_answered")

Key = Callable[[Metric], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """A header, and rows of the same length."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def measured(metrics: Iterable[Metric]) -> list[Metric]:
    """Those of the evaluation itself."""
    return [metric for metric in metrics if not metric.name.startswith(HONESTY_PREFIXES)]


def honesty(metrics: Iterable[Metric]) -> list[Metric]:
    """Those of the honesty checks."""
    return [metric for metric in metrics if metric.name.startswith(HONESTY_PREFIXES)]


def of_all(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that are of no single finding and no single source."""
    return [m for m in measured(metrics) if m.label is None and m.source is None]


def by_class(metrics: Iterable[Metric]) -> Table:
    """One column for each finding, over all sources: there are few of them, and many figures."""
    chosen = [m for m in measured(metrics) if m.label is not None and m.source is None]
    return _turned(pivot(chosen, ("Measure",), lambda m: (str(m.label),), BY_CLASS))


def by_source(metrics: Iterable[Metric]) -> Table:
    """One row for each source, over all findings; a source of few images has its count alone."""
    chosen = [m for m in measured(metrics) if m.label is None and m.source is not None]
    return pivot(
        chosen, ("Source", "Images"), lambda m: (str(m.source), f"{m.images:,}"), BY_SOURCE
    )


def by_class_and_source(metrics: Iterable[Metric]) -> Table:
    """One row for each finding in each source; an AUROC only where the source has both kinds."""
    chosen = [m for m in measured(metrics) if m.label is not None and m.source is not None]
    return pivot(
        chosen,
        ("Source", "Finding", "Images"),
        lambda m: (str(m.source), str(m.label), f"{m.images:,}"),
        BY_CLASS_AND_SOURCE,
    )


def coverage_table(metrics: Iterable[Metric]) -> Table:
    """One row for all images, for each finding and for each source, of the prediction sets."""
    return pivot(
        metrics,
        ("Images of", "Images"),
        lambda m: (m.label or m.source or "all", f"{m.images:,}"),
        COVERED,
    )


def detection_table(detections: Sequence[Detection]) -> Table:
    """One row for each kind of images, one column for each method: AUROC, and share caught."""
    methods = list(dict.fromkeys(row.method for row in detections))
    kinds = dict.fromkeys((row.kind, row.familiar, row.images) for row in detections)
    cells = {(row.kind, row.method): f"{row.auroc:.3f}, {row.caught:.0%}" for row in detections}
    return Table(
        header=("Kind", "Images", *methods),
        rows=tuple(
            (
                f"{kind} (familiar)" if familiar else kind,
                f"{images:,}",
                *(cells[kind, method] for method in methods),
            )
            for kind, familiar, images in kinds
        ),
    )


def honesty_table(metrics: Iterable[Metric]) -> Table:
    """One row for each figure; a column for source and finding where any is of one.

    The figures of the prediction sets are left to ``coverage_table``.
    """
    chosen = [metric for metric in metrics if not metric.name.startswith(CONFORMAL)]
    columns: list[tuple[str, Callable[[Metric], str]]] = [("Measure", lambda m: title(m.name))]
    if any(m.source is not None for m in chosen):
        columns.append(("Source", lambda m: m.source or "all"))
    if any(m.label is not None for m in chosen):
        columns.append(("Finding", lambda m: m.label or "all"))
    columns += [
        ("Value", value),
        ("95 % interval", interval),
        ("Images", lambda m: f"{m.images:,}"),
    ]
    return Table(
        header=tuple(heading for heading, _ in columns),
        rows=tuple(tuple(cell(m) for _, cell in columns) for m in chosen),
    )


def pivot(metrics: Iterable[Metric], keys: Sequence[str], key: Key, names: Sequence[str]) -> Table:
    """Put figures with the same key into one row, in the order in which the keys come.

    Args:
        metrics: What to show; other names than ``names`` are left out, but a bare count of images
            keeps its row.
        keys: The headings of the key's columns.
        key: Gives a figure's key.
        names: The figures' columns; one that is empty in all rows is left out.
    """
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for metric in metrics:
        if metric.name in names:
            cells.setdefault(key(metric), {})[metric.name] = with_interval(metric)
        elif metric.name == COUNTED:
            cells.setdefault(key(metric), {})
    used = [name for name in names if any(name in row for row in cells.values())]
    return Table(
        header=(*keys, *map(title, used)),
        rows=tuple((*key, *(row.get(name, "") for name in used)) for key, row in cells.items()),
    )


def _turned(table: Table) -> Table:
    """Rows for columns; the first heading keeps its place."""
    first, *names = table.header
    labels = tuple(row[0] for row in table.rows)
    columns = zip(*(row[1:] for row in table.rows), strict=True)
    return Table(
        header=(first, *labels),
        rows=tuple((name, *cells) for name, cells in zip(names, columns, strict=True)),
    )


def title(name: str) -> str:
    """A figure's name for people: ``macro_auroc`` is "Macro AUROC"."""
    words = [ACRONYMS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def with_interval(metric: Metric) -> str:
    """The value, and its interval in brackets."""
    return f"{value(metric)} ({interval(metric)})"


def value(metric: Metric) -> str:
    """The value with three decimals; a count of images as a whole number."""
    return _number(metric, metric.value)


def interval(metric: Metric) -> str:
    """The bounds of the 95 % interval, in the same way; "none" for a number that is no estimate."""
    if metric.name == "source_probe_chance":
        return "none"
    return f"{_number(metric, metric.lower)} to {_number(metric, metric.upper)}"


def _number(metric: Metric, number: float) -> str:
    return f"{number:.0f}" if metric.name.endswith(COUNTS) else f"{number:.3f}"
