from collections.abc import Callable
from pathlib import Path

import pytest

from contract.manifest import Metric
from tests.unit.training.report.planted import MaterialOf
from training.report.checks import Check, Outcome, finished_checks, run_checks
from training.report.material import Material

METRIC = Metric(dataset="planted", name="border_only_auroc", value=1, lower=1, upper=1, images=9)


@pytest.fixture
def material(material_of: MaterialOf) -> Material:
    return material_of("inside", "inside")


def check(name: str, ran: list[str], outcome: Callable[[], Outcome]) -> Check:
    def run(_: Material) -> Outcome:
        ran.append(name)
        return outcome()

    return Check(name, name.capitalize(), run)


def found() -> Outcome:
    return Outcome(summary="Found.", metrics=(METRIC,))


def nothing() -> Outcome:
    return Outcome(summary="Nothing to check.")


def killed() -> Outcome:
    raise KeyboardInterrupt


def test_a_killed_report_carries_on_where_it_stopped(tmp_path: Path, material: Material) -> None:
    ran: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_checks(
            [check("first", ran, found), check("second", ran, killed)], material, tmp_path, "key"
        )

    checks = [check("first", ran, found), check("second", ran, found)]
    outcomes = run_checks(checks, material, tmp_path, "key")

    assert ran == ["first", "second", "second"]
    assert outcomes == {"first": found(), "second": found()}


def test_what_was_found_with_another_model_is_not_used(tmp_path: Path, material: Material) -> None:
    ran: list[str] = []
    checks = [check("first", ran, found)]
    run_checks(checks, material, tmp_path, "old")

    run_checks(checks, material, tmp_path, "new")

    assert ran == ["first", "first"]
    assert finished_checks(checks, tmp_path, "old") == {}


def test_a_damaged_file_is_written_again(tmp_path: Path, material: Material) -> None:
    ran: list[str] = []
    checks = [check("first", ran, found)]
    run_checks(checks, material, tmp_path, "key")
    (tmp_path / "first.json").write_text("{")

    run_checks(checks, material, tmp_path, "key")

    assert ran == ["first", "first"]
    assert finished_checks(checks, tmp_path, "key") == {"first": found()}


def test_a_check_that_had_nothing_to_do_looks_again(tmp_path: Path, material: Material) -> None:
    ran: list[str] = []
    run_checks([check("first", ran, nothing)], material, tmp_path, "key")

    outcomes = run_checks([check("first", ran, found)], material, tmp_path, "key")

    assert outcomes == {"first": found()}


def test_each_check_is_told_when_it_is_done(tmp_path: Path, material: Material) -> None:
    told: list[tuple[str, str]] = []
    checks = [check("first", [], found), check("second", [], nothing)]

    def tell(done: Check, outcome: Outcome) -> None:
        told.append((done.name, outcome.summary))

    run_checks(checks, material, tmp_path, "key", tell)

    assert told == [("first", "Found."), ("second", "Nothing to check.")]
