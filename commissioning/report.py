"""The report to sign, as HTML and as PDF of the same page."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from fpdf import FPDF, FontFace, TextStyle
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from commissioning.bootstrap import Interval, draw, interval, macro_auroc
from commissioning.labels import ATTRIBUTES
from commissioning.measure import read_image
from commissioning.trial import Trial
from contract.manifest import INTENDED_USE, Site

_BINS, _THUMBNAILS, _ACROSS = 8, 12, 6
_FEWEST_OF_A_SUBGROUP = 20
_PURPLE, _GRAY = "#5b4b8a", "#8a8a8a"
_SHOWN = 4
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, column heads, rows."""


def write_report(
    trial: Trial,
    site: str,
    set_aside: Counter[str],
    earlier: Site | None,
    folder: Path,
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf``, and return both files.

    Thumbnails of the disagreements are in both: they stay at the site. ``set_aside`` counts the
    images that were left out by their reasons; ``earlier`` is of the last commissioning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    html = render(
        "report.html.j2",
        title=f"{trial.manifest.name} {trial.manifest.version}, commissioned at {site}",
        date=f"{date.today():%d %B %Y}",
        intended_use=INTENDED_USE,
        trial=trial,
        set_aside=describe_set_aside(set_aside),
        earlier=earlier,
        curves=_curves(trial),
        tables=_tables(trial),
        films=_disagreements(trial),
    )
    page, pdf = folder / "report.html", folder / "report.pdf"
    page.write_text(html, encoding="utf-8")
    _write_pdf(html, pdf)
    return page, pdf


def render(template: str, **values: object) -> str:
    """Fill a template; what goes into HTML is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["said"] = _said
    return environment.get_template(template).render(**values)


def describe_set_aside(set_aside: Counter[str]) -> str:
    """How many images were left out, and why; the commonest reasons first."""
    shown = [f"{count}: {reason.rstrip('.')}" for reason, count in set_aside.most_common(_SHOWN)]
    others = set_aside.total() - sum(count for _, count in set_aside.most_common(_SHOWN))
    more = f"; {others} for other reasons" if others else ""
    return f"{set_aside.total()} set aside{': ' if shown else ''}{'; '.join(shown)}{more}."


def _tables(trial: Trial) -> list[Table]:
    names, classes = trial.labelled.findings, trial.labelled.classes
    truth = pd.Categorical.from_codes(classes, names)
    called = pd.Categorical.from_codes(
        np.where(trial.judged.called < 0, len(names), trial.judged.called), [*names, "referred"]
    )
    confusion = pd.crosstab(truth, called, dropna=False)
    calls = [
        [name, str(made), str(right), f"{right / made:.0%}" if made else "none",
         f"{(classes == j).mean():.0%}"]
        for j, name in enumerate(names)
        for made, right in [(int(confusion[name].sum()), int(confusion.loc[name, name]))]
    ]  # fmt: skip
    tried = [
        [result.name, _said(result.auroc), _said(result.accuracy, ".0%"), f"{result.answered:.0%}"]
        for result in (*trial.results.values(), trial.judged)
    ]
    clues = [[name, _said(value)] for name, value in trial.shortcuts.items()]
    return [
        ("Confusion, with referrals", ["labelled", *(f"called {n}" for n in names), "referred"],
         [[name, *map(str, row)] for name, row in confusion.T.to_dict("list").items()]),
        ("How often a call was right here",
         ["call", "made", "right", "share", "prevalence in this set"], calls),
        ("What was tried, simplest first",
         ["change", "AUROC", "accuracy of the answered", "answered"], tried),
        ("What predicts the label without the lungs (0.5 is chance)", ["clue", "AUROC"], clues),
        ("Subgroups", ["subgroup", "images", "AUROC"], _subgroups(trial)),
    ]  # fmt: skip


def _subgroups(trial: Trial) -> list[list[str]]:
    rows = []
    for attribute in ATTRIBUTES:
        values = trial.labelled.table[attribute]
        if attribute == "age":
            decades = pd.to_numeric(values, errors="coerce") // 20 * 20
            values = decades.map("{:.0f} and over".format).where(decades.notna(), "")
        for value, index in values.groupby(values).indices.items():
            auroc = interval(
                macro_auroc(
                    trial.labelled.classes[index],
                    trial.judged.probabilities[index],
                    draw(trial.labelled.patients[index]),
                )
            )
            if value and len(index) >= _FEWEST_OF_A_SUBGROUP and np.isfinite(auroc[0]):
                rows.append([f"{attribute} {value}", str(len(index)), _said(auroc)])
    return rows or [["none that is large enough", "", ""]]


def _curves(trial: Trial) -> str:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = roc, reliability = figure.subplots(1, 2)
    for column, name in enumerate(trial.labelled.findings):
        truth, said = trial.labelled.classes == column, trial.judged.probabilities[:, column]
        roc.plot(*roc_curve(truth, said)[:2], label=name)
        seen, predicted = calibration_curve(truth, said, n_bins=_BINS)
        reliability.plot(predicted, seen, "o-", markersize=3, label=name)
    for axis in axes:
        axis.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.6)
        axis.set_aspect("equal")
        axis.legend(frameon=False)
    auroc = _said(trial.judged.auroc)
    roc.set(title=f"ROC, AUROC {auroc}", xlabel="false positive rate", ylabel="true positive rate")
    reliability.set(
        title=f"Reliability, n = {len(trial.labelled)}",
        xlabel="probability said",
        ylabel="share seen",
    )
    return _as_png(figure)


def _disagreements(trial: Trial) -> str:
    """The calls that contradict the label, the surest first; "" where there is none."""
    called, classes, names = trial.judged.called, trial.labelled.classes, trial.labelled.findings
    wrong = np.flatnonzero((called >= 0) & (called != classes))
    sure = trial.judged.probabilities[wrong, called[wrong]]
    if not len(wrong):
        return ""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(-(-_THUMBNAILS // _ACROSS), _ACROSS).ravel()
    for axis in axes:
        axis.axis("off")
    paths = trial.labelled.paths
    for axis, i in zip(axes, wrong[np.argsort(-sure)].tolist(), strict=False):
        picture: NDArray[np.uint8] = read_image(paths[i], trial.manifest)[1][..., 0]
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        said = trial.judged.probabilities[i, called[i]]
        axis.set_title(f"{names[classes[i]]}, called\n{names[called[i]]} ({said:.2f})", fontsize=7)
    return _as_png(figure)


def _as_png(figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    return base64.b64encode(stream.getvalue()).decode()


def _write_pdf(html: str, file: Path) -> None:
    pdf = FPDF()
    pdf.set_title("Commissioning report")
    # Matplotlib's own font: the fonts that every PDF reader has know only western letters.
    for style, name in (("", "DejaVuSans"), ("B", "DejaVuSans-Bold")):
        pdf.add_font("sans", style, Path(mpl.get_data_path(), "fonts", "ttf", f"{name}.ttf"))
    pdf.set_font("sans", size=8)
    styles = {
        "h1": TextStyle(color=_PURPLE, font_size_pt=14, b_margin=1),
        "h2": TextStyle(color=_PURPLE, font_size_pt=10, t_margin=3, b_margin=1),
        "b": FontFace(emphasis="BOLD"),
    }
    body = html.partition("<body>")[2].partition("</body>")[0]
    for part in body.split("<!-- second page -->"):
        pdf.add_page()
        pdf.write_html(part, font_family="sans", tag_styles=styles)
    pdf.output(file)


def _said(value: Interval, form: str = ".2f") -> str:
    if not np.isfinite(value[0]):
        return "none"
    return f"{value[0]:{form}} ({value[1]:{form}} to {value[2]:{form}})"
