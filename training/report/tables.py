"""Figures as tables: the same on the page of a report and on a model's card."""

from collections.abc import Callable, Iterable, Sequence

from contract.manifest import Metric
from training.evaluation import COUNTED
from training.html import Table

# Of bundles that were exported before prediction sets were given up.
CONFORMAL = "conformal_"
CHECK_PREFIXES = (
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

ANSWERED = ("refer_share", "accuracy_answered")
TWO_SIDED = ("auroc", "auprc", "accuracy", "sensitivity", "specificity", "precision", "f1")
BY_CLASS = (*TWO_SIDED, *ANSWERED)
BY_SOURCE = ("macro_auroc", "accuracy", *ANSWERED)
BY_CLASS_AND_SOURCE = ("auroc", "sensitivity", "specificity")
COVERED = (f"{CONFORMAL}coverage", f"{CONFORMAL}refer_share", f"{CONFORMAL}error_answered")

Column = tuple[str, Callable[[Metric], str]]


SOURCE: Column = ("Source", lambda m: m.source or "all")
FINDING: Column = ("Finding", lambda m: m.label or "all")
IMAGES: Column = ("Images", lambda m: f"{m.images:,}")


def measured(metrics: Iterable[Metric]) -> list[Metric]:
    """Those of the evaluation itself."""
    return [metric for metric in metrics if not metric.name.startswith(CHECK_PREFIXES)]


def of_checks(metrics: Iterable[Metric]) -> list[Metric]:
    """Those of the report's checks."""
    return [metric for metric in metrics if metric.name.startswith(CHECK_PREFIXES)]


def of_all(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that are of no single finding and no single source."""
    return [m for m in measured(metrics) if m.label is None and m.source is None]


def by_class(metrics: Iterable[Metric]) -> Table:
    """One column for each finding, over all sources: there are few of them, and many figures."""
    chosen = [m for m in measured(metrics) if m.label is not None and m.source is None]
    table = pivot(chosen, (FINDING,), BY_CLASS)
    turned = zip(table.header[1:], *(row[1:] for row in table.rows), strict=True)
    return Table(header=("Measure", *(row[0] for row in table.rows)), rows=tuple(turned))


def by_source(metrics: Iterable[Metric]) -> Table:
    """One row for each source, over all findings; a source of few images has its count alone."""
    chosen = [m for m in measured(metrics) if m.label is None and m.source is not None]
    return pivot(chosen, (SOURCE, IMAGES), BY_SOURCE)


def by_class_and_source(metrics: Iterable[Metric]) -> Table:
    """One row for each finding in each source; an AUROC only where the source has both kinds."""
    chosen = [m for m in measured(metrics) if m.label is not None and m.source is not None]
    return pivot(chosen, (SOURCE, FINDING, IMAGES), BY_CLASS_AND_SOURCE)


def coverage_table(metrics: Iterable[Metric]) -> Table:
    """One row for all images, for each finding and for each source, of the prediction sets."""
    part: Column = ("Images of", lambda m: m.label or m.source or "all")
    return pivot(metrics, (part, IMAGES), COVERED)


def checks_table(metrics: Iterable[Metric]) -> Table:
    """One row for each figure; a column for source and finding where any is of one.

    The figures of the prediction sets are left to ``coverage_table``.
    """
    chosen = [metric for metric in metrics if not metric.name.startswith(CONFORMAL)]
    return _listed(
        chosen,
        [SOURCE] if any(m.source for m in chosen) else [],
        [FINDING] if any(m.label for m in chosen) else [],
    )


def overall(metrics: Iterable[Metric]) -> Table:
    """One row for each figure of all images and findings together."""
    return _listed(of_all(metrics))


def pivot(metrics: Iterable[Metric], keys: Sequence[Column], names: Sequence[str]) -> Table:
    """Put figures with the same key into one row, in the order in which the keys come.

    Args:
        metrics: What to show; other names than ``names`` are left out, but a bare count of images
            keeps its row.
        keys: The columns that tell the rows apart.
        names: The figures' columns; one that is empty in all rows is left out.
    """
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for metric in metrics:
        if metric.name in (*names, COUNTED):
            row = cells.setdefault(tuple(key(metric) for _, key in keys), {})
            row[metric.name] = with_interval(metric)
    used = [name for name in names if any(name in row for row in cells.values())]
    return Table(
        header=(*(heading for heading, _ in keys), *map(title, used)),
        rows=tuple((*key, *(row.get(name, "") for name in used)) for key, row in cells.items()),
    )


def _listed(metrics: Sequence[Metric], *parts: Sequence[Column]) -> Table:
    """One row for each figure."""
    columns: list[Column] = [("Measure", lambda m: title(m.name))]
    columns += [column for part in parts for column in part]
    columns += [("Value", value), ("95 % interval", interval), IMAGES]
    return Table(
        header=tuple(heading for heading, _ in columns),
        rows=tuple(tuple(cell(m) for _, cell in columns) for m in metrics),
    )


def title(name: str) -> str:
    """A figure's name for people: ``macro_auroc`` is "Macro AUROC"."""
    words = " ".join(ACRONYMS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


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
