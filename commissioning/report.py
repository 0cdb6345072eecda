"""The report to sign: two pages, as HTML and as PDF."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from commissioning.labels import ATTRIBUTES, LabelledImages
from commissioning.measure import Measured, read_image
from commissioning.trial import Interval, Result, Trial, interval, macro_auroc
from contract.manifest import INTENDED_USE, ModelManifest

A4 = (8.27, 11.69)
_BINS = 8
_THUMBNAILS = 12
_FEWEST_OF_A_SUBGROUP = 20
_PURPLE, _GRAY = "#5b4b8a", "#8a8a8a"
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, column heads, rows."""


@dataclass(frozen=True, slots=True)
class Case:
    """A commissioning as the report tells it."""

    site: str
    manifest: ModelManifest
    labelled: LabelledImages
    measured: Measured
    trial: Trial
    shortcuts: Mapping[str, Interval]
    unreadable: int
    copies: int
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
    mpl.rcParams.update({"font.size": 8, "svg.fonttype": "none", "axes.spines.top": False,
                         "axes.spines.right": False})  # fmt: skip
    page, pdf = folder / "report.html", folder / "report.pdf"
    tables, thumbnails = _tables(case), _disagreements(case)
    page.write_text(_html(case, tables, thumbnails), encoding="utf-8")
    with PdfPages(pdf, metadata={"Title": f"{case.manifest.name} at {case.site}"}) as pages:
        pages.savefig(_first_page(case, tables[:2]))
        pages.savefig(_second_page(tables[2:], thumbnails))
    return page, pdf


def _tables(case: Case) -> list[Table]:
    names, called, classes = case.labelled.findings, case.result.called, case.labelled.classes
    confusion = [
        [
            truth,
            *(str(int(((classes == i) & (called == j)).sum())) for j in range(len(names))),
            str(int(((classes == i) & (called < 0)).sum())),
        ]
        for i, truth in enumerate(names)
    ]
    calls = []
    for j, name in enumerate(names):
        made = int((called == j).sum())
        right = int(((called == j) & (classes == j)).sum())
        share = f"{right / made:.0%}" if made else "none"
        calls.append([name, str(made), str(right), share, f"{(classes == j).mean():.0%}"])
    tried = [
        [name, _said(r.auroc), _said(r.accuracy, percent=True), f"{r.answered:.0%}"]
        for name, r in {**case.trial.results, "as chosen in each fold": case.result}.items()
    ]
    shortcuts = [[name, _said(value)] for name, value in case.shortcuts.items()]
    return [
        ("Confusion, with referrals", ["labelled", *(f"called {n}" for n in names), "referred"],
         confusion),
        ("How often a call was right here",
         ["call", "made", "right", "share", "prevalence in this set"], calls),
        ("What was tried, simplest first",
         ["change", "AUROC", "accuracy of the answered", "answered"], tried),
        ("What predicts the label without the lungs (AUROC, 0.5 is chance)",
         ["clue", "AUROC"], shortcuts),
        ("Subgroups", ["subgroup", "images", "AUROC"], _subgroups(case)),
    ]  # fmt: skip


def _subgroups(case: Case) -> list[list[str]]:
    rows, classes = [], case.labelled.classes
    for attribute in ATTRIBUTES:
        values = np.array(case.labelled.attributes[attribute])
        if attribute == "age":
            values = np.array([f"{int(v) // 20 * 20} and over" if v.isdigit() else v
                               for v in values.tolist()])  # fmt: skip
        for value in sorted(set(values.tolist()) - {""}):
            some = np.flatnonzero(values == value)
            auroc = macro_auroc(classes[some], case.result.probabilities[some])
            if len(some) >= _FEWEST_OF_A_SUBGROUP and np.isfinite(auroc):
                found = interval(
                    lambda i, some=some: macro_auroc(  # type: ignore[misc]
                        classes[some[i]], case.result.probabilities[some[i]]
                    ),
                    case.labelled.patients[some],
                )
                rows.append([f"{attribute} {value}", str(len(some)), _said(found)])
    return rows or [["none that is large enough", "", ""]]


def _disagreements(case: Case) -> list[tuple[str, NDArray[np.uint8]]]:
    """The calls that contradict the label, the surest first: caption and picture."""
    called, classes = case.result.called, case.labelled.classes
    wrong = np.flatnonzero((called >= 0) & (called != classes))
    sure = case.result.probabilities[wrong, called[wrong]]
    names = case.labelled.findings
    pictures = []
    for i in wrong[np.argsort(-sure)][:_THUMBNAILS]:
        picture = read_image(case.labelled.paths[i], case.manifest)[1][..., 0]
        caption = f"{names[classes[i]]}, called {names[called[i]]}"
        pictures.append((f"{caption} ({case.result.probabilities[i, called[i]]:.2f})", picture))
    return pictures


def _lines(case: Case) -> list[str]:
    labelled, trial = case.labelled, case.trial
    counts = ", ".join(f"{n} {name}" for name, n in labelled.counts().items())
    lines = [
        f"Verdict: {trial.verdict.upper()}. {trial.why}",
        f"Images: {counts}, of {len(set(labelled.patients.tolist()))} patients. Left out: "
        f"{case.unreadable} unreadable, {case.copies} copies.",
        f"Taken: {trial.chosen}. Figures come from patients outside every choice: in each fold the "
        "other folds choose the change.",
        f"The quality gate refers {1 - case.measured.good.mean():.0%} of these images.",
    ]
    return [*lines, f"Earlier commissioning: {case.earlier}"] if case.earlier else lines


def _plots(case: Case, axes: Sequence[Axes]) -> None:
    roc, reliability = axes
    names, result = case.labelled.findings, case.result
    for column, name in enumerate(names):
        truth = case.labelled.classes == column
        false, true, _ = roc_curve(truth, result.probabilities[:, column])
        auroc = macro_auroc(truth.astype(np.int64), np.stack(
            [1 - result.probabilities[:, column], result.probabilities[:, column]], 1))  # fmt: skip
        roc.plot(false, true, label=f"{name}, AUROC {auroc:.2f}")
        edges = np.linspace(0, 1, _BINS + 1)
        which = np.clip(np.digitize(result.probabilities[:, column], edges) - 1, 0, _BINS - 1)
        full = [b for b in range(_BINS) if (which == b).any()]
        said = [result.probabilities[which == b, column].mean() for b in full]
        seen = [truth[which == b].mean() for b in full]
        reliability.plot(said, seen, "o-", markersize=3, label=name)
    for axis in axes:
        axis.plot([0, 1], [0, 1], color=_GRAY, linewidth=0.6)
        axis.set_aspect("equal")
        axis.legend(frameon=False, fontsize=7)
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    reliability.set(
        title="Reliability", xlabel="probability said", ylabel=f"share seen (n = {len(which)})"
    )


def _first_page(case: Case, tables: Sequence[Table]) -> Figure:
    figure = Figure(figsize=A4)
    title = f"{case.manifest.name} {case.manifest.version}, commissioned at {case.site}"
    figure.text(0.08, 0.95, title, fontsize=14, color=_PURPLE)
    figure.text(0.08, 0.93, f"{date.today():%d %B %Y}. {INTENDED_USE}")
    y = 0.90
    for line in _lines(case):
        text = figure.text(0.08, y, line, va="top", wrap=True)
        text._get_wrap_line_width = lambda: figure.bbox.width * 0.84  # type: ignore[attr-defined]
        y -= 0.018 * (1 + len(line) // 125)
    axes = [figure.add_axes((0.10 + 0.45 * i, 0.50, 0.36, 0.26)) for i in (0, 1)]
    _plots(case, axes)
    _draw_tables(figure, tables, 0.43)
    for i, who in enumerate(("Responsible radiologist", "Physicist or IT")):
        figure.text(0.08 + 0.45 * i, 0.06, f"{'_' * 40}\n{who}, date, signature")
    return figure


def _second_page(
    tables: Sequence[Table], thumbnails: Sequence[tuple[str, NDArray[np.uint8]]]
) -> Figure:
    figure = Figure(figsize=A4)
    y = _draw_tables(figure, tables, 0.95)
    figure.text(0.08, y - 0.01, "Calls that contradict the label, the surest first", color=_PURPLE)
    rows = max(1, -(-len(thumbnails) // 4))
    height = min(0.17, (y - 0.10) / rows)
    for i, (caption, picture) in enumerate(thumbnails):
        place = (0.08 + 0.22 * (i % 4), y - 0.03 - height * (1 + i // 4), 0.2, height * 0.82)
        axis = figure.add_axes(place)
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(caption, fontsize=5)
        axis.axis("off")
    if not thumbnails:
        figure.text(0.08, y - 0.03, "none")
    return figure


def _draw_tables(figure: Figure, tables: Sequence[Table], y: float) -> float:
    for title, heads, rows in tables:
        figure.text(0.08, y, title, color=_PURPLE)
        height = 0.018 * (1 + len(rows))
        axis = figure.add_axes((0.08, y - 0.012 - height, 0.84, height))
        axis.axis("off")
        table = axis.table(
            [list(row) for row in rows], colLabels=list(heads), loc="upper left", cellLoc="left",
            edges="horizontal", bbox=Bbox.unit(),
        )  # fmt: skip
        table.auto_set_font_size(False)  # noqa: FBT003 - matplotlib's own signature
        table.set_fontsize(7)
        y -= height + 0.04
    return y


def _html(
    case: Case, tables: Sequence[Table], thumbnails: Sequence[tuple[str, NDArray[np.uint8]]]
) -> str:
    figure = Figure(figsize=(8, 3.6))
    _plots(case, figure.subplots(1, 2))
    svg = io.StringIO()
    figure.savefig(svg, format="svg", bbox_inches="tight")
    plot = svg.getvalue()[svg.getvalue().index("<svg") :]
    title = html.escape(f"{case.manifest.name} {case.manifest.version} at {case.site}")
    body = [f"<h1>{title}</h1>", f"<p>{date.today():%d %B %Y}. <b>{INTENDED_USE}</b></p>"]
    body += [f"<p>{html.escape(line)}</p>" for line in _lines(case)]
    body.append(plot)
    for name, heads, rows in tables:
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        head = "".join(f"<th>{html.escape(h)}</th>" for h in heads)
        body.append(f"<h2>{html.escape(name)}</h2><table><tr>{head}</tr>{cells}</table>")
    body.append("<h2>Calls that contradict the label, the surest first</h2><div class=films>")
    for caption, picture in thumbnails:
        data = base64.b64encode(_png(picture)).decode()
        body.append(
            f'<figure><img alt="" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    body.append("</div><p class=sign>Responsible radiologist, date, signature:</p>")
    style = (
        "body{font:14px system-ui;max-width:50em;margin:2em auto;color:#222}h1,h2{color:#5b4b8a}"
        "table{border-collapse:collapse}td,th{text-align:left;padding:.2em .8em;"
        "border-bottom:1px solid #ddd}.films{display:flex;flex-wrap:wrap;gap:.5em}figure{margin:0;"
        "width:11em}img{width:100%}figcaption{font-size:11px}.sign{margin-top:4em}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{style}</style><body>{''.join(body)}</body></html>"
    )


def _png(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    mpl.image.imsave(stream, picture, cmap="gray", vmin=0, vmax=255, format="png")
    return stream.getvalue()


def _said(value: Interval, *, percent: bool = False) -> str:
    if not np.isfinite(value[0]):
        return "none"
    form = ".0%" if percent else ".2f"
    return f"{value[0]:{form}} ({value[1]:{form}} to {value[2]:{form}})"
