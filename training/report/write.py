"""The report of one evaluation, written: report.json and report.html."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from rich.progress import Progress

from contract.manifest import INTENDED_USE, Metric
from training.atomic import write_text
from training.config import Recipe
from training.evaluation import Evaluation
from training.figures import Curve, draw_curves
from training.html import Table, embedded, render
from training.report import tables
from training.report.checks import Check, CheckResult, finished_checks, run_checks
from training.report.context import EvaluationContext
from training.report.examples import examples
from training.report.heatmaps import HEATMAPS
from training.report.limits import LIMITS
from training.report.shortcuts import SHORTCUTS
from training.workdir import CALIBRATION, TrainedModel, Workdir

CHECKS = (*SHORTCUTS, *HEATMAPS, *LIMITS)
LEFT_OUT = "left-out"
LEFT_OUT_TITLE = "What does it do on a source that it never saw?"
LEFT_OUT_FIGURES = frozenset({"auroc", "macro_auroc", "accuracy", "accuracy_answered"})
LEFT_OUT_BY_CLASS = frozenset({"auroc", "sensitivity", "specificity"})
CAPTIONS = {
    "roc": "ROC curves; a dot is an operating point.",
    "precision-recall": "Precision against sensitivity; a dot is an operating point.",
    "reliability": "How often the model is right against how sure it is.",
    "scores": "How the probabilities are spread, on a logarithmic scale.",
    "answers": "Answers by true class; the shade is the share of the row.",
}
ROBUSTNESS = (
    "The AUROC, the accuracy and the share that the quality gate refuses, with 95 % intervals."
)
Content = TypeVar("Content", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """Where the report of one split lies in a workdir."""

    work: Workdir
    split: str

    @property
    def root(self) -> Path:
        """The page and its parts. It shows patients' images, and no part of it is exported."""
        return self.work.root / ("report" if self.split == "test" else f"report-{self.split}")

    @property
    def checks(self) -> Path:
        """What each check has found: report.json."""
        return self.root / "report.json"

    def plot(self, kind: str) -> Path:
        """A plot, which may go into a bundle."""
        return self.work.root / "figures" / f"{self.split}-{kind}.png"

    def key(self, digest: str) -> str:
        """Name what the checks' results depend on: the model, the images and this code.

        Args:
            digest: Of the images.
        """
        total = hashlib.sha256(digest.encode())
        code = sorted(Path(__file__).parent.glob("*.py"))
        for file in (self.work.model, self.work.root / CALIBRATION, *code):
            total.update(file.read_bytes())
        return total.hexdigest()[:16]


def with_finished_checks(
    evaluation: Evaluation, folder: ReportFolder, recipe: Recipe
) -> Evaluation:
    """An evaluation with the figures of those checks that an earlier report has left."""
    finished = finished_checks(folder.checks, folder.key(evaluation.data_digest))
    return _with_figures(evaluation, [*finished.values(), _elsewhere(folder, recipe)])


def write_report(
    evaluation: Evaluation,
    context: EvaluationContext,
    trained: TrainedModel,
    folder: ReportFolder,
    bar: Progress,
) -> Evaluation:
    """Run the checks and write the page; a killed report carries on where it stopped.

    Args:
        evaluation: What was measured.
        context: What the checks look at.
        trained: The model.
        folder: Where to write.
        bar: Shows which check is running.

    Returns:
        The evaluation with the figures of the checks.

    Raises:
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    task = bar.add_task("checks", total=len(CHECKS))

    def tell(check: Check, result: CheckResult) -> None:
        bar.update(task, advance=1, description=f"checks: {check.name} done")
        bar.console.print(check.title, style="bold")
        bar.console.print(result.summary, highlight=False, markup=False)

    key = folder.key(evaluation.data_digest)
    results = run_checks(CHECKS, context, folder.checks, key, tell)
    results[LEFT_OUT] = _elsewhere(folder, trained.config)
    complete = _with_figures(evaluation, results.values())
    titles = {check.name: check.title for check in CHECKS} | {LEFT_OUT: LEFT_OUT_TITLE}
    headline = tables.title(context.headline)
    curves = {name: result for name, result in results.items() if result.points}
    panels = [(result.axis, _curves(result, headline)) for result in curves.values()]
    draw_curves(folder.plot("robustness"), panels)
    metrics = complete.metrics
    page = render(
        "report/page.html.j2",
        evaluation=complete,
        trained=trained,
        intended_use=INTENDED_USE,
        facts=_facts(complete, trained),
        overall=tables.overall(metrics),
        breakdowns=[
            ("By finding", tables.by_class(metrics)),
            ("By source", tables.by_source(metrics)),
            ("By source and finding", tables.by_class_and_source(metrics)),
        ],
        answers=_answers(complete),
        plots=[
            (embedded(folder.plot(kind).read_bytes()), caption)
            for kind, caption in CAPTIONS.items()
            if folder.plot(kind).is_file()
        ],
        checks=[
            (titles[name], result.summary, list(_tables(result)))
            for name, result in results.items()
            if name not in curves
        ],
        robustness=(embedded(folder.plot("robustness").read_bytes()), ROBUSTNESS),
        levels=[
            (titles[name], result.summary, _levels(result, headline))
            for name, result in curves.items()
        ],
        examples=examples(context),
    )
    write_text(folder.root / "report.html", page)
    return complete


class _Trained(BaseModel):
    """As much of a workdir's config.json as is needed here."""

    recipe: Recipe


def left_out(workdir: Path, recipe: Recipe) -> CheckResult:
    """Gather what the trainings beside a workdir do on the sources that they left out.

    A training counts where its recipe has the same name and classes, and where
    ``pneumo-train evaluate --split left-out`` has run.

    Args:
        workdir: Of the model that the report is about; the others lie in the same folder.
        recipe: Of that model.
    """
    found: list[Metric] = []
    for file in sorted(workdir.resolve().parent.glob("*/evaluation-left-out.json")):
        trained = _read(file.with_name("config.json"), _Trained)
        evaluation = _read(file, Evaluation)
        if trained is None or evaluation is None:
            continue
        other = trained.recipe
        if (other.name, other.data.classes) == (recipe.name, recipe.data.classes):
            source = ", ".join(other.data.leave_out)
            found += [
                metric.model_copy(update={"name": f"left_out_{metric.name}", "source": source})
                for metric in evaluation.metrics
                if metric.source is None
                and metric.name in (LEFT_OUT_BY_CLASS if metric.label else LEFT_OUT_FIGURES)
            ]
    if not found:
        return CheckResult(
            summary="No training of this recipe that leaves a source out lies beside it: not done."
        )
    return CheckResult(
        summary=(
            "Each row is of a network that never saw an image of that source. The distance to the "
            "figures of the same source above is what the pooled figures owe to knowing it."
        ),
        metrics=tuple(found),
    )


def _read(path: Path, kind: type[Content]) -> Content | None:
    """A file of another training; None where that training is unfinished or older."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _elsewhere(folder: ReportFolder, recipe: Recipe) -> CheckResult:
    if folder.split != "test":
        return CheckResult(summary="Told in the report of the test split.")
    return left_out(folder.work.root, recipe)


def _with_figures(evaluation: Evaluation, results: Iterable[CheckResult]) -> Evaluation:
    found = tuple(metric for result in results for metric in result.metrics)
    return evaluation.model_copy(update={"metrics": (*evaluation.metrics, *found)})


def _curves(result: CheckResult, headline: str) -> list[Curve]:
    named = {
        headline: [(p.level, p.auroc) for p in result.points if p.auroc],
        "Accuracy": [(p.level, p.accuracy) for p in result.points],
        "Refused by the quality gate": [(p.level, p.refused) for p in result.points if p.refused],
    }
    return [
        (name, *map(list, zip(*values, strict=True))) for name, values in named.items() if values
    ]


def _levels(result: CheckResult, headline: str) -> Table:
    return Table(
        header=("Level", headline, "Accuracy", "Refused"),
        rows=tuple(
            (
                f"{point.level:g}",
                *(
                    tables.with_interval(metric) if metric else ""
                    for metric in (point.auroc, point.accuracy, point.refused)
                ),
            )
            for point in result.points
        ),
    )


def _tables(result: CheckResult) -> Iterator[Table]:
    """The tables of a check, those that have any row."""
    figures = dict.fromkeys((*result.metrics, *result.details))
    for table in (tables.coverage_table(figures), tables.checks_table(figures)):
        if table.rows:
            yield table


def _answers(evaluation: Evaluation) -> Table:
    counts = zip(evaluation.classes, evaluation.answers, strict=True)
    return Table(
        header=("Truth", *evaluation.classes, "refer"),
        rows=tuple((label, *(f"{count:,}" for count in row)) for label, row in counts),
    )


def _facts(evaluation: Evaluation, trained: TrainedModel) -> Sequence[tuple[str, str]]:
    origin, calibration = trained.provenance, trained.calibration
    return (
        ("Measured on", evaluation.metrics[0].dataset),
        ("Images", f"{evaluation.images:,} of {evaluation.patients:,} patients"),
        ("Unreadable, left out", f"{evaluation.unreadable:,}"),
        ("Network", trained.config.model.backbone),
        ("Input", trained.config.preprocessing.words),
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
    )
