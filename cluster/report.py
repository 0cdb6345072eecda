"""The summary of an archive: what was decided, what was referred and why, and who sent it."""

import base64
import io
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pyarrow as pa
from jinja2 import Environment
from matplotlib.figure import Figure

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
{% for title, table in tables %}<h2>{{ title }}</h2>{{ table | safe }}{% endfor %}
{% for title, picture in pictures %}<h2>{{ title }}</h2>
<img alt="{{ title }}" src="data:image/png;base64,{{ picture }}">{% endfor %}
</html>"""
)


def write_report(rows: pa.Table, page: Path) -> Path:
    """Write the summary of an archive's rows as one HTML file without links."""
    frame = rows.to_pandas()
    answered = frame[frame["status"] == "ok"].copy()
    answered["model"] = answered["model"] + " " + answered["version"].astype("Int64").astype(str)
    answered["refer"] = answered["decision"] == "refer"
    dead = frame[frame["status"] != "ok"]
    tables = [("Models", answered.groupby(["model", "digest"]).size().rename("images"))]
    tables.append(("Decisions", answered.groupby(["model", "decision"]).size().rename("images")))
    reasons = answered.explode("reasons").groupby(["model", "reasons"]).size()
    tables.append(("Referred, by reason", reasons.rename("images")))
    tables.append(("Not read", dead.groupby("problem").size().rename("files")))
    pictures = [("Decisions", _bars(answered.groupby(["model", "decision"]).size(), "images"))]
    for column, title in (("site", "Referred, by site"), ("device", "Referred, by device")):
        shares = _shares(answered, column)
        if not shares.empty:
            pictures.append((title, _bars(shares, "share referred")))
    dates = pd.to_datetime(answered["study_date"], format="%Y-%m-%d", errors="coerce")
    by_month = answered.groupby(dates.dt.to_period("M"))["refer"].mean()
    if len(by_month) > 1:
        pictures.append(("Referred, by month of the study", _bars(by_month, "share referred")))
    page.write_text(
        _PAGE.render(
            total=len(frame),
            answered=len(answered),
            dead=len(dead),
            tables=[(title, _table(series)) for title, series in tables if len(series)],
            pictures=pictures,
        )
    )
    return page


def _shares(answered: pd.DataFrame, column: str) -> "pd.Series[float]":
    """The share referred of each of the largest groups."""
    groups = answered.groupby(column)["refer"].agg(["mean", "size"])
    groups = groups[groups["size"] >= LEAST_IN_GROUP].nlargest(LARGEST_GROUPS, "size")
    return groups["mean"]


def _table(series: "pd.Series[int]") -> str:
    return str(series.reset_index().to_html(index=False, border=0))


def _bars(series: "pd.Series[float]", label: str) -> str:
    with mpl.rc_context({"font.size": 10}):
        figure = Figure(figsize=(8, 0.5 + 0.35 * max(3, len(series))), layout="constrained")
        axes = figure.subplots()
        names = [" ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in series.index]
        axes.barh(names, series.to_numpy(), color="#1f6f8b")
        axes.invert_yaxis()
        axes.set_xlabel(label)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
