"""The report to sign, as HTML and as PDF of the same page."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from commissioning.labels import ATTRIBUTES, LabelledImages
from commissioning.measure import Measured, read_image
from commissioning.trial import Result, Trial
from contract.manifest import INTENDED_USE, ModelManifest

_BINS, _THUMBNAILS, _ACROSS = 8, 12, 6
_FEWEST_OF_A_SUBGROUP = 20
_PURPLE, _GRAY = "#5b4b8a", "#8a8a8a"
_SHOWN = 4
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, column heads, rows."""


@dataclass(frozen=True, slots=True)
class Case:
    """A commissioning as the report tells it; ``set_aside`` says why images were left out."""

    site: str
    manifest: ModelManifest
    labelled: LabelledImages
    measured: Measured
    trial: Trial
    shortcuts: Mapping[str, Interval]
    set_aside: Counter[str]
    earlier: str | None

    @property
    def result(self) -> Result:
        """What the verdict rests on."""
        return self.trial.judged


def write_report(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf``.

    Thumbnails of the disagreements are in both: they stay at the site.

    Returns:
        The two files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    html = render(
        "report.html.j2",
        title=f"{case.manifest.name} {case.manifest.version}, commissioned at {case.site}",
        date=f"{date.today():%d %B %Y}",
        intended_use=INTENDED_USE,
        trial=case.trial,
        lines=_lines(case),
        curves=_curves(case),
        tables=_tables(case),
        films=_disagreements(case),
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
    return environment.get_template(template).render(**values)


def describe_set_aside(set_aside: Counter[str]) -> str:
    """How many images were left out, and why; the commonest reasons first."""
    shown = [f"{count}: {reason.rstrip('.')}" for reason, count in set_aside.most_common(_SHOWN)]
    others = set_aside.total() - sum(count for _, count in set_aside.most_common(_SHOWN))
    more = f"; {others} for other reasons" if others else ""
    return f"{set_aside.total()} set aside{': ' if shown else ''}{'; '.join(shown)}{more}."


def _lines(case: Case) -> list[str]:
    labelled = case.labelled
    counts = ", ".join(f"{n} {name}" for name, n in labelled.counts().items())
    lines = [
        f"Images: {counts}, of {labelled.table['patient'].nunique()} patients; "
        f"{describe_set_aside(case.set_aside)}",
        f"Taken: {case.trial.fitted.name}. Figures come from patients outside every choice: in "
        "each fold the other folds choose the change.",
        f"The quality gate refers {1 - case.measured.good.mean():.0%} of these images.",
    ]
    return [*lines, f"Earlier commissioning: {case.earlier}"] if case.earlier else lines


def _tables(case: Case) -> list[Table]:
    names, classes = case.labelled.findings, case.labelled.classes
    truth = pd.Categorical.from_codes(classes, names)
    called = pd.Categorical.from_codes(
        np.where(case.result.called < 0, len(names), case.result.called), [*names, "referred"]
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
        for result in (*case.trial.results.values(), case.result)
    ]
    shortcuts = [[name, _said(value)] for name, value in case.shortcuts.items()]
    return [
        ("Confusion, with referrals", ["labelled", *(f"called {n}" for n in names), "referred"],
         [[name, *map(str, row)] for name, row in confusion.T.to_dict("list").items()]),
        ("How often a call was right here",
         ["call", "made", "right", "share", "prevalence in this set"], calls),
        ("What was tried, simplest first",
         ["change", "AUROC", "accuracy of the answered", "answered"], tried),
        ("What predicts the label without the lungs (0.5 is chance)", ["clue", "AUROC"], shortcuts),
        ("Subgroups", ["subgroup", "images", "AUROC"], _subgroups(case)),
    ]  # fmt: skip


def _subgroups(case: Case) -> list[list[str]]:
    rows = []
    for attribute in ATTRIBUTES:
        values = case.labelled.table[attribute]
        if attribute == "age":
            decades = pd.to_numeric(values, errors="coerce") // 20 * 20
            values = decades.map("{:.0f} and over".format).where(decades.notna(), "")
        for value, index in values.groupby(values).indices.items():
            auroc = interval(
                macro_auroc(
                    case.labelled.classes[index],
                    case.result.probabilities[index],
                    draw(case.labelled.patients[index]),
                )
            )
            if value and len(index) >= _FEWEST_OF_A_SUBGROUP and np.isfinite(auroc[0]):
                rows.append([f"{attribute} {value}", str(len(index)), _said(auroc)])
    return rows or [["none that is large enough", "", ""]]


def _curves(case: Case) -> str:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = roc, reliability = figure.subplots(1, 2)
    for column, name in enumerate(case.labelled.findings):
        truth, said = case.labelled.classes == column, case.result.probabilities[:, column]
        roc.plot(*roc_curve(truth, said)[:2], label=name)
        seen, predicted = calibration_curve(truth, said, n_bins=_BINS)
        reliability.plot(predicted, seen, "o-", markersize=3, label=name)
    for axis in axes:
        axis.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.6)
        axis.set_aspect("equal")
        axis.legend(frameon=False)
    auroc = _said(case.result.auroc)
    roc.set(title=f"ROC, AUROC {auroc}", xlabel="false positive rate", ylabel="true positive rate")
    reliability.set(
        title=f"Reliability, n = {len(case.labelled)}",
        xlabel="probability said",
        ylabel="share seen",
    )
    return _as_png(figure)


def _disagreements(case: Case) -> str:
    """The calls that contradict the label, the surest first; "" where there is none."""
    called, classes, names = case.result.called, case.labelled.classes, case.labelled.findings
    wrong = np.flatnonzero((called >= 0) & (called != classes))
    sure = case.result.probabilities[wrong, called[wrong]]
    if not len(wrong):
        return ""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(-(-_THUMBNAILS // _ACROSS), _ACROSS).ravel()
    for axis in axes:
        axis.axis("off")
    paths = case.labelled.paths
    for axis, i in zip(axes, wrong[np.argsort(-sure)].tolist(), strict=False):
        picture: NDArray[np.uint8] = read_image(paths[i], case.manifest)[1][..., 0]
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        said = case.result.probabilities[i, called[i]]
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
