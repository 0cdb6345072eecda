"""Figures as tables: the same on the page of a report and on a model's card."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from contract.manifest import Metric
from training.evaluation import COUNTED, SEPARATION

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

Columns = dict[str, Callable[[Metric], str]]

SOURCE: Columns = {"Source": lambda m: m.source or "all"}
FINDING: Columns = {"Finding": lambda m: m.label or "all"}
IMAGES: Columns = {"Images": lambda m: f"{m.images:,}"}


def of_checks(metrics: Iterable[Metric]) -> list[Metric]:
    """Those of the report's checks."""
    return [metric for metric in metrics if metric.name.startswith(CHECK_PREFIXES)]


def of_all(metrics: Iterable[Metric]) -> list[Metric]:
    """Those of the evaluation itself that are of no single finding and no single source."""
    return _measured(metrics, by_class=False, by_source=False)


def by_class(metrics: Iterable[Metric]) -> pd.DataFrame:
    """One column for each finding, over all sources: there are few of them, and many figures."""
    chosen = _measured(metrics, by_class=True, by_source=False)
    table = pivot(chosen, FINDING, (*TWO_SIDED, *ANSWERED))
    turned = table.set_index("Finding").T.rename_axis(index="Measure", columns=None)
    return turned.reset_index()


def by_source(metrics: Iterable[Metric]) -> pd.DataFrame:
    """One row for each source, over all findings; a source of few images has its count alone."""
    chosen = _measured(metrics, by_class=False, by_source=True)
    return pivot(chosen, SOURCE | IMAGES, ("macro_auroc", "accuracy", *ANSWERED))


def by_class_and_source(metrics: Iterable[Metric]) -> pd.DataFrame:
    """One row for each finding in each source; an AUROC only where the source has both kinds."""
    chosen = _measured(metrics, by_class=True, by_source=True)
    return pivot(chosen, SOURCE | FINDING | IMAGES, SEPARATION)


def coverage_table(metrics: Iterable[Metric]) -> pd.DataFrame:
    """One row for all images, for each finding and for each source, of the prediction sets."""
    part: Columns = {"Images of": lambda m: m.label or m.source or "all"}
    covered = ("coverage", "refer_share", "error_answered")
    return pivot(metrics, part | IMAGES, [f"{CONFORMAL}{figure}" for figure in covered])


def listed(metrics: Iterable[Metric]) -> pd.DataFrame:
    """One row for each figure; a column for source and finding where any is of one."""
    chosen = [metric for metric in metrics if not metric.name.startswith(CONFORMAL)]
    columns: Columns = {"Measure": lambda m: title(m.name)}
    columns |= SOURCE if any(m.source for m in chosen) else {}
    columns |= FINDING if any(m.label for m in chosen) else {}
    columns |= {"Value": value, "95 % interval": interval} | IMAGES
    return pd.DataFrame({name: [cell(m) for m in chosen] for name, cell in columns.items()})


def pivot(metrics: Iterable[Metric], keys: Columns, names: Sequence[str]) -> pd.DataFrame:
    """Put figures with the same key into one row, in the order in which the keys come.

    Other names than ``names`` are left out, but a bare count of images keeps its row; a column that
    is empty in all rows is left out too.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for metric in metrics:
        if metric.name in (*names, COUNTED):
            key = {name: cell(metric) for name, cell in keys.items()}
            row = rows.setdefault(tuple(key.values()), key)
            if metric.name != COUNTED:
                row[title(metric.name)] = f"{value(metric)} ({interval(metric)})"
    table = pd.DataFrame(list(rows.values()))
    used = [column for column in map(title, names) if column in table]
    return table.reindex(columns=[*keys, *used]).fillna("")


def title(name: str) -> str:
    """A figure's name for people: ``macro_auroc`` is "Macro AUROC"."""
    words = " ".join(ACRONYMS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


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


def _measured(metrics: Iterable[Metric], *, by_class: bool, by_source: bool) -> list[Metric]:
    return [
        m
        for m in metrics
        if not m.name.startswith(CHECK_PREFIXES)
        and (m.label is not None, m.source is not None) == (by_class, by_source)
    ]
