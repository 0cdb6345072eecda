"""The checks of a report, one after the other; each leaves its result in report.json."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.manifest import Metric
from training.atomic import write_text
from training.report.context import EvaluationContext


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Frozen):
    """A model at one level of a corruption.

    ``auroc`` is None where there is one class, ``refused`` where there is no quality gate.
    """

    level: float
    auroc: Metric | None
    accuracy: Metric
    refused: Metric | None = None


class CheckResult(_Frozen):
    """What a check has found.

    ``summary`` is a sentence or two for the reader of the page. ``metrics`` go into the evaluation
    and on the model's card; ``details`` stay on the page. ``points`` lie over a rising level, which
    ``axis`` names.
    """

    summary: str
    metrics: tuple[Metric, ...] = ()
    details: tuple[Metric, ...] = ()
    points: tuple[Point, ...] = ()
    axis: str = ""

    @property
    def has_figures(self) -> bool:
        """Whether there was anything to check."""
        return bool(self.metrics or self.details or self.points)


@dataclass(frozen=True, slots=True)
class Check:
    """A check's short name, its title, and its function."""

    name: str
    title: str
    run: Callable[[EvaluationContext], CheckResult]


class _Content(_Frozen):
    """report.json: the results by check, and what they depend on."""

    key: str
    checks: dict[str, CheckResult]


def run_checks(
    checks: Sequence[Check],
    context: EvaluationContext,
    file: Path,
    key: str,
    on_done: Callable[[Check, CheckResult], None] = lambda _check, _result: None,
) -> dict[str, CheckResult]:
    """Run checks, or read what an earlier call has left; a killed call is carried on.

    Args:
        checks: The checks.
        context: What to run them on.
        file: Where the results are kept, after each check.
        key: Of the model, the data and the code; results with another key are not used.
        on_done: Called after each check.

    Returns:
        Each check's result by its name, in the order of ``checks``.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    results = finished_checks(file, key)
    for check in checks:
        if check.name not in results:
            results[check.name] = check.run(context)
            content = _Content(key=key, checks=results)
            write_text(file, content.model_dump_json(indent=2) + "\n")
        on_done(check, results[check.name])
    return {check.name: results[check.name] for check in checks}


def finished_checks(file: Path, key: str) -> dict[str, CheckResult]:
    """Read what ``run_checks`` has left; a check that had nothing to look at is not finished.

    Returns:
        Each finished check's result by its name.
    """
    try:
        content = _Content.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}
    if content.key != key:
        return {}
    return {name: result for name, result in content.checks.items() if result.has_figures}
