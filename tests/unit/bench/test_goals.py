import pytest

from bench.goals import Ratio, ratios

from .results import make_results, target

OURS = target("pneumoscope", 380, "ours", p99_ms=50)


def find(found: tuple[Ratio, ...], words: str) -> Ratio:
    return next(ratio for ratio in found if words in ratio.name)


def test_ratios_are_taken_to_the_limit_and_to_the_best_peer() -> None:
    results = make_results(OURS, target("slow", 100, p99_ms=40), target("fast", 200, p99_ms=80))

    found = ratios(results)

    assert find(found, "raw body ÷ in-process limit").value == pytest.approx(0.95)
    assert find(found, "best peer (Fast)").value == pytest.approx(1.9)
    assert find(found, "p99 at 16 ÷ lowest").value == pytest.approx(50 / 40)


def test_a_goal_is_met_or_missed_as_its_sense_says() -> None:
    found = ratios(make_results(OURS, target("slow", 100, p99_ms=40)))

    assert find(found, "best peer (Slow)").met is True
    assert find(found, "p99 at 16 ÷ lowest").met is False
    assert find(found, "CPU per request").met is True
    assert find(found, "drift").met is False


def test_the_same_run_shows_before_and_after() -> None:
    results = make_results(OURS, target("pneumoscope-before", 200, "before", p99_ms=100))

    found = ratios(results)

    assert find(found, "Throughput at 16 ÷ before").value == pytest.approx(1.9)
    assert find(found, "p99 at 16 ÷ before").value == pytest.approx(0.5)
    assert find(found, "p99 at 16 ÷ before").met is None


def test_what_was_not_measured_has_no_ratio() -> None:
    absent = target("absent", 900).model_copy(update={"not_measured": "absent is not installed"})

    names = [ratio.name for ratio in ratios(make_results(OURS, absent))]

    assert not any("peer" in name for name in names)


def test_int8_is_held_against_the_best_peer() -> None:
    results = make_results(OURS, target("pneumoscope-int8", 420, "variant"), target("fast", 200))

    assert find(ratios(results), "INT8").value == pytest.approx(2.1)
