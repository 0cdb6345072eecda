"""The checks of a report, one after the other; each leaves its result in a file."""

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
    """A check's short name, which is also that of its file, its title, and its function."""

    name: str
    title: str
    run: Callable[[EvaluationContext], CheckResult]


class _Record(_Frozen):
    key: str
    result: CheckResult


def run_checks(
    checks: Sequence[Check],
    context: EvaluationContext,
    folder: Path,
    key: str,
    on_done: Callable[[Check, CheckResult], None] = lambda _check, _result: None,
) -> dict[str, CheckResult]:
    """Run checks, or read what an earlier call has left; a killed call is carried on.

    Args:
        checks: The checks.
        context: What to run them on.
        folder: Where each check's file ``<name>.json`` lies.
        key: Of the model, the data and the code; a result with another key is not used.
        on_done: Called after each check.

    Returns:
        Each check's result by its name, in the order of ``checks``.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    results = finished_checks(checks, folder, key)
    for check in checks:
        if check.name not in results:
            results[check.name] = check.run(context)
            record = _Record(key=key, result=results[check.name])
            write_text(folder / f"{check.name}.json", record.model_dump_json(indent=2) + "\n")
        on_done(check, results[check.name])
    return {check.name: results[check.name] for check in checks}


def finished_checks(checks: Sequence[Check], folder: Path, key: str) -> dict[str, CheckResult]:
    """Read what ``run_checks`` has left; a check that had nothing to look at is not finished.

    Returns:
        Each finished check's result by its name.
    """
    finished = {}
    for check in checks:
        try:
            record = _Record.model_validate_json((folder / f"{check.name}.json").read_bytes())
        except (OSError, ValidationError):
            continue
        if record.key == key and record.result.has_figures:
            finished[check.name] = record.result
    return finished
