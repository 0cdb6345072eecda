"""The summary of an archive: what was decided, what was referred and why, and who sent it when."""

import base64
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
from jinja2 import Environment
from matplotlib.figure import Figure

COLUMNS = ["status", "problem", "decision", "reasons", "ood_score", "model", "version", "digest"]
COLUMNS += ["site", "device", "study_date"]
DRIFT = {"refer": "share referred", "ood_score": "mean score of the unfamiliar"}
LARGEST_GROUPS, LEAST_IN_GROUP = 12, 20
_PAGE = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Archive</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
img { max-width: 100% }
</style>
<h1>Archive</h1>
<p><strong>Research only. Not for diagnosis.</strong></p>
<p>{{ total }} files: {{ answered }} answered, {{ dead }} could not be read.</p>
{% for title, table in tables.items() %}<h2>{{ title }}</h2>{{ table | safe }}{% endfor %}
{% for title, picture in pictures.items() %}<h2>{{ title }}</h2>
<img alt="{{ title }}" src="data:image/png;base64,{{ picture }}">{% endfor %}
</html>"""
)


def write_report(rows: pa.Table, page: Path) -> Path:
    """Write the summary of an archive's rows, their ``COLUMNS``, as one HTML file without links."""
    frame = rows.to_pandas()
    answered = frame[frame["status"] == "ok"].copy()
    answered["model"] = answered["model"] + " " + answered["version"].astype("Int64").astype(str)
    answered["refer"] = answered["decision"] == "refer"
    dead = frame[frame["status"] != "ok"]
    decisions = answered.groupby(["model", "decision"]).size()
    tables = {
        "Models": answered.groupby(["model", "digest"]).size(),
        "Decisions": decisions,
        "Referred, by reason": answered.explode("reasons").groupby(["model", "reasons"]).size(),
        "Not read": dead.groupby("problem").size(),
    }
    pictures = {"Decisions": _bars(decisions, "images")}
    for column in ("site", "device"):
        sizes = answered[column].value_counts()
        largest = sizes[sizes >= LEAST_IN_GROUP].index[:LARGEST_GROUPS]
        if largest.empty:
            continue
        large = answered[answered[column].isin(largest)]
        shares = large.groupby(column)["refer"].mean()
        pictures[f"Referred, by {column}"] = _bars(shares, DRIFT["refer"])
        for value, label in DRIFT.items():
            months = by_month(large, column, value)
            if len(months) > 1:
                pictures[f"Drift by {column}: {label}"] = _lines(months, label)
    shown = {title: each.rename("files").reset_index() for title, each in tables.items()}
    page.write_text(
        _PAGE.render(
            total=len(frame),
            answered=len(answered),
            dead=len(dead),
            tables={title: each.to_html(index=False, border=0) for title, each in shown.items()},
            pictures=pictures,
        )
    )
    return page


def by_month(answered: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    """The mean of a value by the month of the study, a row each, and by site or device."""
    dates = pd.to_datetime(answered["study_date"], format="%Y-%m-%d", errors="coerce")
    return answered.groupby([dates.dt.to_period("M"), column])[value].mean().unstack()


def _bars(series: "pd.Series[float]", label: str) -> str:
    figure = Figure(figsize=(8, 0.5 + 0.35 * max(3, len(series))), layout="constrained")
    axes = figure.subplots()
    names = [" ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in series.index]
    axes.barh(names, series.to_numpy(), color="#1f6f8b")
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return _png(figure)


def _lines(months: pd.DataFrame, label: str) -> str:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(months.index.astype(str), months, marker="o", label=list(months.columns))
    axes.set_ylabel(label)
    figure.legend(loc="outside right upper")
    return _png(figure)


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
