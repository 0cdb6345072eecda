"""report.html: an evaluation as one page, which needs nothing but itself."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from contract.manifest import INTENDED_USE, Finding, Metric, Provenance
from contract.preprocessing import PreprocessingSpec
from training.calibrate import Calibration
from training.evaluation import Evaluation
from training.report import tables
from training.report.checks import Outcome
from training.report.examples import Example
from training.report.tables import Table

TEMPLATE = files(__package__) / "page.html.j2"


@dataclass(frozen=True, slots=True)
class Plot:
    """A PNG file without any patient's image, and what it shows."""

    path: Path
    shows: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows.

    ``checks`` are in the order of the page, each with its title. ``caveats`` are those of
    the recipe.
    """

    name: str
    backbone: str
    preprocessing: PreprocessingSpec
    provenance: Provenance
    calibration: Calibration
    evaluation: Evaluation
    checks: Sequence[tuple[str, Outcome]]
    plots: Sequence[Plot]
    robustness: Plot
    examples: Sequence[Example]
    caveats: Sequence[str]


def render_page(report: Report) -> str:
    """Put a report into one HTML page; every name in it is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"embedded": _embedded, "number": "{:,}".format}
    metrics = report.evaluation.metrics
    headline = headline_title(report.evaluation)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        evaluation=report.evaluation,
        intended_use=INTENDED_USE,
        facts=_facts(report),
        overall=_listed(tables.of_all(metrics)),
        breakdowns=[
            ("By finding", tables.by_class(metrics)),
            ("By source", tables.by_source(metrics)),
            ("By source and finding", tables.by_class_and_source(metrics)),
        ],
        answers=_answers(report.evaluation),
        points=_operating_points(report.calibration.findings),
        checks=[(title, o, list(_found(o))) for title, o in report.checks if not o.points],
        curves=[(title, o, _levels(o, headline)) for title, o in report.checks if o.points],
    )


def _facts(report: Report) -> Table:
    origin, evaluation = report.provenance, report.evaluation
    calibration = report.calibration
    return Table(
        header=(),
        rows=(
            ("Measured on", evaluation.metrics[0].dataset),
            ("Images", f"{evaluation.images:,} of {evaluation.patients:,} patients"),
            ("Unreadable, left out", f"{evaluation.unreadable:,}"),
            ("Network", report.backbone),
            ("Input", report.preprocessing.words),
            (
                "Trained",
                f"{origin.trained_at:%Y-%m-%d} on {origin.training_images:,} images, "
                f"validated on {origin.validation_images:,}; {origin.framework}",
            ),
            ("Training data", f"{origin.dataset}. Licence: {origin.licence}"),
            (
                "Temperature",
                f"{calibration.temperature:.3f}; validation loss {calibration.loss_before:.4f} "
                f"before, {calibration.loss_after:.4f} after",
            ),
            ("Git revision", origin.git_revision),
            ("Data digest", evaluation.data_digest),
        ),
    )


def _listed(metrics: Sequence[Metric]) -> Table:
    return Table(
        header=("Measure", "Value", "95 % interval", "Images"),
        rows=tuple(
            (tables.title(m.name), tables.value(m), tables.interval(m), f"{m.images:,}")
            for m in metrics
        ),
    )


def _answers(evaluation: Evaluation) -> Table:
    counts = zip(evaluation.classes, evaluation.answers, strict=True)
    return Table(
        header=("Truth", *evaluation.classes, "refer"),
        rows=tuple((label, *(f"{count:,}" for count in row)) for label, row in counts),
    )


def _operating_points(findings: Sequence[Finding]) -> Table:
    return Table(
        header=("Finding", "Operating point", "Chosen by"),
        rows=tuple((f.label, f"{f.operating_point:.4f}", f.operating_point_rule) for f in findings),
    )


def _found(outcome: Outcome) -> Iterator[Table]:
    """The tables of a check, those that have any row."""
    figures = dict.fromkeys((*outcome.metrics, *outcome.details))
    # The comparison holds the figures of what is served, too.
    listed = () if outcome.detections else figures
    for table in (
        tables.coverage_table(figures),
        tables.detection_table(outcome.detections),
        tables.honesty_table(listed),
    ):
        if table.rows:
            yield table


def headline_title(evaluation: Evaluation) -> str:
    """What the figure that stands for all is called."""
    return tables.title("macro_auroc" if evaluation.positive is None else "auroc")


def _levels(outcome: Outcome, headline: str) -> Table:
    return Table(
        header=(outcome.axis, headline, "Accuracy"),
        rows=tuple(
            (
                f"{point.level:g}",
                tables.with_interval(point.auroc) if point.auroc else "",
                tables.with_interval(point.accuracy),
            )
            for point in outcome.points
        ),
    )


def _embedded(plot: Plot) -> str:
    data = base64.b64encode(plot.path.read_bytes()).decode("ascii")
    return f"data:image/png;base64,{data}"
