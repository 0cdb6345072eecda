"""The report to sign, as HTML and as PDF of the same page."""

import base64
import io
from collections import Counter
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

from commissioning.bootstrap import auroc_interval, draw
from commissioning.labels import ATTRIBUTES
from commissioning.measure import read_image
from commissioning.trial import Trial
from contract.manifest import INTENDED_USE, ModelManifest, Site
from training.metrics import Estimate

_BINS, _THUMBNAILS, _ACROSS = 8, 12, 6
_FEWEST_OF_A_SUBGROUP, _YEARS = 20, 20
_PURPLE, _GRAY = "#5b4b8a", "#8a8a8a"
_SHOWN = 4


def write_report(
    trial: Trial,
    site: str,
    set_aside: Counter[str],
    earlier: Site | None,
    written: ModelManifest | None,
    folder: Path,
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf``, and return both files.

    Thumbnails of the disagreements are in both: they stay at the site. ``set_aside`` counts the
    images that were left out by their reasons; ``earlier`` is of the last commissioning;
    ``written`` is the version that was earned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    html = render(
        "report.html.j2",
        title=f"{trial.manifest.name}, commissioned at {site}",
        date=f"{date.today():%d %B %Y}",
        intended_use=INTENDED_USE,
        trial=trial,
        set_aside=describe_set_aside(set_aside),
        earlier=earlier,
        written=written,
        curves=_curves(trial),
        confusion=_confusion(trial),
        subgroups=_subgroups(trial),
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
    environment.filters |= {"said": _said, "percent": "{:.0%}".format}
    return environment.get_template(template).render(**values)


def describe_set_aside(set_aside: Counter[str]) -> str:
    """How many images were left out, and why; the commonest reasons first."""
    shown = [f"{count}: {reason.rstrip('.')}" for reason, count in set_aside.most_common(_SHOWN)]
    others = set_aside.total() - sum(count for _, count in set_aside.most_common(_SHOWN))
    more = f"; {others} for other reasons" if others else ""
    return f"{set_aside.total()} set aside{': ' if shown else ''}{'; '.join(shown)}{more}."


def _confusion(trial: Trial) -> dict[str, dict[str, int]]:
    """Of each finding how many images were called what, or referred."""
    names, classes, called = trial.labelled.findings, trial.labelled.classes, trial.judged.called
    calls = {f"called {name}": j for j, name in enumerate(names)} | {"referred": -1}
    return {
        name: {call: int(((classes == i) & (called == j)).sum()) for call, j in calls.items()}
        for i, name in enumerate(names)
    }


def _subgroups(trial: Trial) -> list[tuple[str, int, Estimate]]:
    rows = []
    for attribute in ATTRIBUTES:
        values = trial.labelled.table[attribute]
        if attribute == "age":
            first = values // _YEARS * _YEARS
            bands = [f"{at:.0f} to {at + _YEARS - 1:.0f}" for at in first.fillna(0)]
            values = pd.Series(bands).where(first.notna(), "")
        for value, index in values.groupby(values).indices.items():
            patients = trial.labelled.patients[index]
            auroc = auroc_interval(
                trial.labelled.classes[index],
                trial.judged.probabilities[index],
                patients,
                draw(patients),
            )
            if value and len(index) >= _FEWEST_OF_A_SUBGROUP and np.isfinite(auroc[0]):
                rows.append((f"{attribute} {value}", len(index), auroc))
    return rows


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


def _said(value: Estimate, form: str = ".2f") -> str:
    if not np.isfinite(value[0]):
        return "none"
    return f"{value[0]:{form}} ({value[1]:{form}} to {value[2]:{form}})"
