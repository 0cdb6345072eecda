"""The report of one evaluation, written: the checks' files, report.json and report.html."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.progress import Progress

from training.atomic import write_text
from training.config import Recipe
from training.evaluation import Evaluation
from training.figures import Curve, draw_curves
from training.report.ablations import border_only, lung_masked
from training.report.abstention import ABSTENTION
from training.report.checks import Check, Outcome, Point, finished_checks, run_checks
from training.report.examples import examples
from training.report.gates import GATES
from training.report.heatmaps import HEATMAPS
from training.report.left_out import left_out
from training.report.material import Material
from training.report.page import Plot, Report, headline_title, render_page
from training.report.probes import source_probe
from training.report.robustness import robustness_checks
from training.report.unfamiliar_methods import UNFAMILIAR_METHODS
from training.workdir import CALIBRATION, TrainedModel, Workdir

CHECKS = (
    Check("source-probe", "Can the source be read?", source_probe),
    Check("border-only", "What does the border give away?", border_only),
    Check("lung-masked", "What is left without the lungs, and without all else?", lung_masked),
    *HEATMAPS,
    *ABSTENTION,
    *GATES,
    *UNFAMILIAR_METHODS,
    *robustness_checks(),
)
LEFT_OUT = "left-out"
LEFT_OUT_TITLE = "What does it do on a source that it never saw?"
PAGE = "report.html"
CAPTIONS = {
    "roc": "ROC curves; a dot is an operating point.",
    "precision-recall": "Precision against sensitivity; a dot is an operating point.",
    "reliability": "How often the model is right against how sure it is.",
    "scores": "How the probabilities are spread, on a logarithmic scale.",
    "quality": "Under each fault: the accuracy, and the share that the quality gate refuses.",
    "answers": "Answers by true class; the shade is the share of the row.",
}
ROBUSTNESS = "robustness"
ROBUSTNESS_CAPTION = "The AUROC and the accuracy under rising degradation, with 95 % intervals."


class _Content(BaseModel):
    """report.json: all figures of the page."""

    model_config = ConfigDict(frozen=True)

    evaluation: Evaluation
    checks: dict[str, Outcome]


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
        """What each honesty check has found."""
        return self.root / "checks"

    @property
    def plots(self) -> Path:
        """The plots, which may go into a bundle."""
        return self.work.root / "figures"

    def key(self, digest: str) -> str:
        """Name what the checks' results depend on: the model, the images and this code.

        Args:
            digest: Of the images.
        """
        total = hashlib.sha256(digest.encode())
        for file in (self.work.model, self.work.root / CALIBRATION):
            total.update(file.read_bytes())
        for source in sorted(Path(__file__).parent.glob("*.py")):
            total.update(source.read_bytes())
        return total.hexdigest()[:16]


def with_finished_checks(
    evaluation: Evaluation, folder: ReportFolder, recipe: Recipe
) -> Evaluation:
    """An evaluation with the figures of those honesty checks that an earlier report has left.

    Args:
        evaluation: What was measured.
        folder: Of the report.
        recipe: Of the model.
    """
    outcomes = finished_checks(CHECKS, folder.checks, folder.key(evaluation.data_digest))
    return _with_honesty(evaluation, [*outcomes.values(), _elsewhere(folder, recipe)])


def write_report(
    evaluation: Evaluation,
    material: Material,
    trained: TrainedModel,
    folder: ReportFolder,
    bar: Progress,
) -> Evaluation:
    """Run the honesty checks and write the page; a killed report carries on where it stopped.

    Args:
        evaluation: What was measured.
        material: What the checks look at.
        trained: The model.
        folder: Where to write.
        bar: Shows which check is running.

    Returns:
        The evaluation with the figures of the honesty checks.

    Raises:
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    outcomes = _run(material, folder, folder.key(evaluation.data_digest), bar)
    elsewhere = _elsewhere(folder, trained.config)
    honest = _with_honesty(evaluation, [*outcomes.values(), elsewhere])
    robustness = Plot(_plot(folder, ROBUSTNESS), ROBUSTNESS_CAPTION)
    _draw_robustness(robustness.path, outcomes, headline_title(evaluation))
    page = Report(
        name=trained.config.name,
        backbone=trained.config.model.backbone,
        preprocessing=trained.config.preprocessing,
        provenance=trained.provenance,
        calibration=trained.calibration,
        evaluation=honest,
        checks=[
            *((check.title, outcomes[check.name]) for check in CHECKS),
            (LEFT_OUT_TITLE, elsewhere),
        ],
        plots=_plots(folder),
        robustness=robustness,
        examples=examples(material),
        caveats=trained.config.caveats,
    )
    content = _Content(evaluation=honest, checks=outcomes | {LEFT_OUT: elsewhere})
    write_text(folder.root / "report.json", content.model_dump_json(indent=2) + "\n")
    write_text(folder.root / PAGE, render_page(page))
    return honest


def _run(material: Material, folder: ReportFolder, key: str, bar: Progress) -> dict[str, Outcome]:
    task = bar.add_task("honesty checks", total=len(CHECKS))

    def tell(check: Check, outcome: Outcome) -> None:
        bar.update(task, advance=1, description=f"honesty checks: {check.name} done")
        bar.console.print(check.title, style="bold")
        bar.console.print(outcome.summary, highlight=False, markup=False)

    return run_checks(CHECKS, material, folder.checks, key, tell)


def _elsewhere(folder: ReportFolder, recipe: Recipe) -> Outcome:
    if folder.split != "test":
        return Outcome(summary="Told in the report of the test split.")
    return left_out(folder.work.root, recipe)


def _with_honesty(evaluation: Evaluation, outcomes: Iterable[Outcome]) -> Evaluation:
    found = tuple(metric for outcome in outcomes for metric in outcome.metrics)
    return evaluation.model_copy(update={"metrics": (*evaluation.metrics, *found)})


def _draw_robustness(path: Path, outcomes: Mapping[str, Outcome], headline: str) -> None:
    panels = [
        (outcome.axis, _curves(outcome.points, headline))
        for outcome in outcomes.values()
        if outcome.points
    ]
    draw_curves(path, panels)


def _curves(points: Sequence[Point], headline: str) -> list[Curve]:
    named = {
        headline: [(p.level, p.auroc) for p in points if p.auroc is not None],
        "Accuracy": [(p.level, p.accuracy) for p in points],
    }
    return [
        Curve(
            name=name,
            x=np.array([level for level, _ in values]),
            y=np.array([metric.value for _, metric in values]),
            lower=np.array([metric.lower for _, metric in values]),
            upper=np.array([metric.upper for _, metric in values]),
        )
        for name, values in named.items()
        if values
    ]


def _plots(folder: ReportFolder) -> list[Plot]:
    plots = [Plot(_plot(folder, kind), shows) for kind, shows in CAPTIONS.items()]
    return [plot for plot in plots if plot.path.is_file()]


def _plot(folder: ReportFolder, kind: str) -> Path:
    return folder.plots / f"{folder.split}-{kind}.png"
