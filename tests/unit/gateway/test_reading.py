from itertools import pairwise

import pytest

from gateway.reading import Reading, combine, evenly_spaced

MODEL = {"name": "ct", "version": 1, "digest": "sha256:0"}


def reading(probability: float, decision: str = "covid-19", *reasons: str) -> Reading:
    findings = [
        {"label": "other", "probability": 1 - probability, "operating_point": 0.5, "present": 0},
        {"label": "covid-19", "probability": probability, "operating_point": 0.5, "present": 0},
    ]
    result = {"decision": decision, "reasons": list(reasons), "findings": findings}
    return Reading(MODEL, result)


def probabilities(combined: Reading) -> dict[str, float]:
    return {f["label"]: f["probability"] for f in combined.result["findings"]}


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 500])
def test_slices_are_evenly_spaced_from_the_first_to_the_last(count: int) -> None:
    chosen = evenly_spaced(count)

    steps = {later - earlier for earlier, later in pairwise(chosen)}
    assert len(chosen) == len(set(chosen)) == min(count, 32)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert not steps or max(steps) - min(steps) <= 1


@pytest.mark.parametrize(
    ("of_slices", "rule", "expected", "decision", "reasons"),
    [
        ([0.9, 0.7, 0.2], "mean", {"other": 0.4, "covid-19": 0.6}, "covid-19", []),
        ([0.9, 0.1], "max", {"other": 0.9, "covid-19": 0.9}, "refer", ["uncertain"]),
    ],
)
def test_a_series_has_the_mean_or_the_largest_of_its_slices_as_the_model_says(
    of_slices: list[float],
    rule: str,
    expected: dict[str, float],
    decision: str,
    reasons: list[str],
) -> None:
    combined = combine([reading(each) for each in of_slices], slices=90, rule=rule)

    assert probabilities(combined) == pytest.approx(expected)
    assert (combined.result["decision"], combined.result["reasons"]) == (decision, reasons)
    note = f"Read from {len(of_slices)} of 90 slices, evenly spaced; {rule} of probabilities."
    assert combined.note == note


@pytest.mark.parametrize(("doubtful", "decision"), [(2, "refer"), (1, "covid-19")])
def test_a_series_is_referred_where_most_of_its_slices_are(doubtful: int, decision: str) -> None:
    doubts = [reading(0.9, "refer", "out_of_distribution")] * doubtful
    clear = [reading(0.9)] * (3 - doubtful)

    combined = combine([*doubts, *clear], slices=3)

    assert combined.result["decision"] == decision
