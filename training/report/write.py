"""The report of one evaluation: its checks, and report.html."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.console import Console

from contract.manifest import INTENDED_USE, Metric
from contract.pixels import resize
from training.atomic import write_text
from training.config import Recipe
from training.errors import WorkdirIncomplete
from training.evaluation import SEPARATION, Evaluation
from training.figures import draw_curves
from training.html import embedded, render
from training.predictions import REFERRED, answered_outputs
from training.report import checks, tables
from training.report.context import CheckResult, EvaluationContext
from training.workdir import Binding, TrainedModel, Workdir

CHECKS = (
    checks.source_probe,
    checks.border_only,
    checks.lung_masked,
    checks.heatmaps,
    checks.quality_gate,
    checks.out_of_distribution,
    checks.robustness,
)
LEFT_OUT_FIGURES = frozenset(
    {"auroc", "macro_auroc", "accuracy", "accuracy_answered", "refer_share"}
)
CAPTIONS = {
    "roc": "ROC curves; a dot is an operating point.",
    "precision-recall": "Precision against sensitivity; a dot is an operating point.",
    "reliability": "How often the model is right against how sure it is.",
    "answers": "Answers by true class; the shade is the share of the row.",
    "robustness": "What corruptions do to the AUROC, and what the quality gate refuses of them.",
}


def write_report(
    evaluation: Evaluation,
    context: EvaluationContext,
    trained: TrainedModel,
    workdir: Path,
    console: Console,
) -> Evaluation:
    """Run the checks, tell what they find, and put their figures behind those of the evaluation.

    The workdir gets ``figures/<split>-robustness.png``, which may go into a bundle, and
    ``report-<split>.html``, which shows patients' images and must not.
    """
    results = []
    for check in CHECKS:
        results.append(check(context))
        console.print(results[-1].title, style="bold")
        console.print(results[-1].summary, highlight=False, markup=False)
    if evaluation.split == "test":
        results.append(left_out(workdir, trained.config))
    plots = workdir / "figures"
    panels = [panel for result in results for panel in result.panels]
    draw_curves(plots / f"{evaluation.split}-robustness.png", panels)
    found = tuple(metric for result in results for metric in result.metrics)
    metrics = (*evaluation.metrics, *found)
    complete = evaluation.model_copy(update={"metrics": metrics})
    drawn = [(plots / f"{evaluation.split}-{kind}.png", text) for kind, text in CAPTIONS.items()]
    answers = pd.DataFrame(evaluation.answers, evaluation.classes, (*evaluation.classes, "refer"))
    page = render(
        "report/page.html.j2",
        evaluation=complete,
        trained=trained,
        intended_use=INTENDED_USE,
        tables=[
            ("Over all images", tables.listed(tables.of_all(metrics))),
            ("By finding", tables.by_class(metrics)),
            ("By source", tables.by_source(metrics)),
            ("By source and finding", tables.by_class_and_source(metrics)),
        ],
        answers=answers.reset_index(names="Truth"),
        plots=[(embedded(file), text) for file, text in drawn if file.is_file()],
        checks=[(one, tables.listed(one.metrics)) for one in results],
        examples=[(embedded(picture), caption) for picture, caption in _examples(context)],
    )
    write_text(workdir / f"report-{evaluation.split}.html", page)
    return complete


def left_out(workdir: Path, recipe: Recipe) -> CheckResult:
    """Gather what trainings of the same recipe without a source found on that source.

    Such a training lies beside this one, in a workdir of its own, with the same name and classes,
    and where ``pneumo-train evaluate --split left-out`` has run.
    """
    title = "What does it do on a source that it never saw?"
    found: list[Metric] = []
    for file in sorted(workdir.resolve().parent.glob("*/evaluation-left-out.json")):
        other = Workdir(file.parent)
        # One that is unfinished, or older, says nothing.
        with suppress(WorkdirIncomplete):
            rules = other.read(other.root / "config.json", Binding[Recipe]).recipe
            metrics = other.read(file, Evaluation).metrics
            if (rules.name, rules.data.classes) == (recipe.name, recipe.data.classes):
                source = ", ".join(rules.data.leave_out)
                found += [
                    metric.model_copy(update={"name": f"left_out_{metric.name}", "source": source})
                    for metric in metrics
                    if metric.source is None
                    and metric.name in (SEPARATION if metric.label else LEFT_OUT_FIGURES)
                ]
    if not found:
        return CheckResult(
            title, "No training of this recipe that leaves a source out lies beside it: not done."
        )
    return CheckResult(
        title,
        "Each row is of a network that never saw an image of that source. The distance to the "
        "figures of the same source above is what the pooled figures owe to knowing it.",
        tuple(found),
    )


def _examples(context: EvaluationContext) -> Iterator[tuple[Figure, str]]:
    """Of each class up to two hits, two misses and two referred images, the surest of each."""
    predictions = context.predictions
    answers = answered_outputs(predictions, context.findings)
    right, referred = answers == predictions.classes, answers == REFERRED
    kinds = {"Hit": right, "Miss": ~right & ~referred, "Referred": referred}
    surest = np.argsort(-predictions.probabilities.max(axis=1), kind="stable")
    for number, finding in enumerate(context.findings):
        for kind, members in kinds.items():
            rows = surest[(members & (predictions.classes == number))[surest]]
            for row in rows[:2].tolist():
                said = int(predictions.probabilities[row].argmax())
                yield (
                    _drawn(context, row, said),
                    f"{kind}: is {finding.label}, most probable {context.findings[said].label} "
                    f"({predictions.probabilities[row, said]:.3f}), "
                    f"source {predictions.sources[row]}, {context.paths[row]}",
                )


def _drawn(context: EvaluationContext, row: int, said: int) -> Figure:
    image = np.asarray(context.images[row, ..., 0])
    activation = context.predict(context.images[row : row + 1])["activation_map"][0, ..., said]
    strength = np.clip(activation / context.findings[said].activation_scale, 0, 1)
    fitted = resize(strength, image.shape)
    figure = Figure(figsize=(4, 2), dpi=100, layout="constrained")
    for axes in (panels := figure.subplots(1, 2)):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
    # The stronger the evidence, the less of the image shows through.
    panels[1].imshow(colormaps["inferno"](fitted), alpha=0.6 * np.clip(fitted, 0, 1))
    return figure
