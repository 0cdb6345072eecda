"""The honesty checks of a report, one after the other; each leaves its result in a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.manifest import Metric
from training.atomic import write_text
from training.ood_report import Detection
from training.report.material import Material


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Frozen):
    """What a model does at one level of a change. ``auroc`` is None where there is one class."""

    level: float
    auroc: Metric | None
    accuracy: Metric


class Outcome(_Frozen):
    """What a check has found.

    ``summary`` is a sentence or two for whoever reads the page. ``metrics`` go into the evaluation
    and on the model's card; ``details`` stay on the page. ``points`` are those of a curve over a
    changing level, rising; ``axis`` says what changes. ``detections`` compare several methods.
    """

    summary: str
    metrics: tuple[Metric, ...] = ()
    details: tuple[Metric, ...] = ()
    points: tuple[Point, ...] = ()
    axis: str = ""
    detections: tuple[Detection, ...] = ()

    @property
    def has_figures(self) -> bool:
        """Whether there was anything to check."""
        return bool(self.metrics or self.details or self.points)


@dataclass(frozen=True, slots=True)
class Check:
    """A check's short name, which is also that of its file, its title, and what it does."""

    name: str
    title: str
    run: Callable[[Material], Outcome]


class _Record(_Frozen):
    key: str
    outcome: Outcome


def run_checks(
    checks: Sequence[Check],
    material: Material,
    folder: Path,
    key: str,
    on_done: Callable[[Check, Outcome], None] = lambda _check, _outcome: None,
) -> dict[str, Outcome]:
    """Run checks, or read what an earlier call has left.

    A call that was killed is continued with the check that it did not finish.

    Args:
        checks: What to run.
        material: What to run it on.
        folder: Where each check's file ``<name>.json`` lies.
        key: Of the model, the data and the code; a result with another key is not used.
        on_done: Called after each check.

    Returns:
        Each check's outcome by its name, in the order of ``checks``.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    outcomes = finished_checks(checks, folder, key)
    for check in checks:
        if check.name not in outcomes:
            outcome = check.run(material)
            record = _Record(key=key, outcome=outcome)
            write_text(_file(folder, check), record.model_dump_json(indent=2) + "\n")
            outcomes[check.name] = outcome
        on_done(check, outcomes[check.name])
    return {check.name: outcomes[check.name] for check in checks}


def finished_checks(checks: Sequence[Check], folder: Path, key: str) -> dict[str, Outcome]:
    """Read what ``run_checks`` has left; one that had nothing to do then may have now.

    Returns:
        Each finished check's outcome by its name.
    """
    records = {check.name: _read(_file(folder, check)) for check in checks}
    return {
        name: record.outcome
        for name, record in records.items()
        if record is not None and record.key == key and record.outcome.has_figures
    }


def _file(folder: Path, check: Check) -> Path:
    return folder / f"{check.name}.json"


def _read(path: Path) -> _Record | None:
    try:
        return _Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
