"""Leave-one-source-out: what trainings without a source do on that source."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from contract.findings import Label
from contract.manifest import Metric
from training.config import Recipe
from training.evaluation import Evaluation
from training.report.checks import Outcome

Content = TypeVar("Content", bound=BaseModel)

OF_ALL = frozenset({"auroc", "macro_auroc", "accuracy", "accuracy_answered"})
OF_A_FINDING = frozenset({"auroc", "sensitivity", "specificity"})


class _Trained(BaseModel):
    """As much of a workdir's config.json as is needed here."""

    recipe: Recipe


def left_out(workdir: Path, recipe: Recipe) -> Outcome:
    """Gather what the trainings beside a workdir do on the sources that they left out.

    A training counts where its recipe has the same name and classes, and where
    ``pneumo-train evaluate --split left-out`` has run.

    Args:
        workdir: Of the model that the report is about; the others lie in the same folder.
        recipe: Of that model.
    """
    metrics = []
    for file in sorted(workdir.resolve().parent.glob("*/evaluation-left-out.json")):
        trained = _read(file.with_name("config.json"), _Trained)
        evaluation = _read(file, Evaluation)
        if trained is None or evaluation is None or _kind(trained.recipe) != _kind(recipe):
            continue
        source = ", ".join(trained.recipe.data.leave_out)
        metrics += [_renamed(metric, source) for metric in evaluation.metrics if _is_told(metric)]
    if not metrics:
        return Outcome(
            summary="No training of this recipe that leaves a source out lies beside it: not done."
        )
    return Outcome(
        summary=(
            "Each row is of a network that never saw an image of that source. The distance to the "
            "figures of the same source above is what the pooled figures owe to knowing it."
        ),
        metrics=tuple(metrics),
    )


def _kind(recipe: Recipe) -> tuple[str, tuple[Label, ...]]:
    return recipe.name, recipe.data.classes


def _read(path: Path, kind: type[Content]) -> Content | None:
    """What a file of another training says; None where that training is unfinished or older."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _is_told(metric: Metric) -> bool:
    if metric.source is not None:
        return False
    return metric.name in (OF_ALL if metric.label is None else OF_A_FINDING)


def _renamed(metric: Metric, source: str) -> Metric:
    return metric.model_copy(update={"name": f"left_out_{metric.name}", "source": source})
