from collections.abc import Callable
from pathlib import Path

import pytest

from contract.manifest import Metric
from tests.unit.training.report.planted import ContextOf
from training.report.checks import Check, CheckResult, finished_checks, run_checks
from training.report.context import EvaluationContext

METRIC = Metric(dataset="planted", name="border_only_auroc", value=1, lower=1, upper=1, images=9)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.fixture
def context(context_of: ContextOf) -> EvaluationContext:
    return context_of("inside", "inside")


def check(name: str, ran: list[str], result: Callable[[], CheckResult]) -> Check:
    def run(_: EvaluationContext) -> CheckResult:
        ran.append(name)
        return result()

    return Check(name, name.capitalize(), run)


def found() -> CheckResult:
    return CheckResult(summary="Found.", metrics=(METRIC,))


def nothing() -> CheckResult:
    return CheckResult(summary="Nothing to check.")


def killed() -> CheckResult:
    raise KeyboardInterrupt


def test_a_killed_report_carries_on_where_it_stopped(
    file: Path, context: EvaluationContext
) -> None:
    ran: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_checks(
            [check("first", ran, found), check("second", ran, killed)],
            context,
            file,
            "key",
        )

    checks = [check("first", ran, found), check("second", ran, found)]
    results = run_checks(checks, context, file, "key")

    assert ran == ["first", "second", "second"]
    assert results == {"first": found(), "second": found()}


def test_what_was_found_with_another_model_is_not_used(
    file: Path, context: EvaluationContext
) -> None:
    ran: list[str] = []
    checks = [check("first", ran, found)]
    run_checks(checks, context, file, "old")

    run_checks(checks, context, file, "new")

    assert ran == ["first", "first"]
    assert finished_checks(file, "old") == {}


def test_a_damaged_file_is_written_again(file: Path, context: EvaluationContext) -> None:
    ran: list[str] = []
    checks = [check("first", ran, found)]
    run_checks(checks, context, file, "key")
    file.write_text("{")

    run_checks(checks, context, file, "key")

    assert ran == ["first", "first"]
    assert finished_checks(file, "key") == {"first": found()}


def test_a_check_that_had_nothing_to_do_looks_again(file: Path, context: EvaluationContext) -> None:
    ran: list[str] = []
    run_checks([check("first", ran, nothing)], context, file, "key")

    results = run_checks([check("first", ran, found)], context, file, "key")

    assert results == {"first": found()}


def test_each_check_is_told_when_it_is_done(file: Path, context: EvaluationContext) -> None:
    told: list[tuple[str, str]] = []
    checks = [check("first", [], found), check("second", [], nothing)]

    def tell(done: Check, result: CheckResult) -> None:
        told.append((done.name, result.summary))

    run_checks(checks, context, file, "key", tell)

    assert told == [("first", "Found."), ("second", "Nothing to check.")]
