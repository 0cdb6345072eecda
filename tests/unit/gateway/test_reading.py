from itertools import pairwise

import pytest

from gateway.service import Reading, evenly_spaced, of_series
from tests.gateway.drawn import finding

MODEL = {"name": "ct", "version": 1, "digest": "sha256:0"}


def reading(probability: float) -> Reading:
    findings = [finding("other", 1 - probability), finding("covid-19", probability)]
    return Reading(MODEL, {"decision": "refer", "reasons": [], "findings": findings})


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 500])
def test_slices_are_evenly_spaced_from_the_first_to_the_last(count: int) -> None:
    chosen = evenly_spaced(count)

    steps = {later - earlier for earlier, later in pairwise(chosen)}
    assert len(chosen) == len(set(chosen)) == min(count, 32)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert not steps or max(steps) - min(steps) <= 1


def test_a_series_is_read_by_its_models_rule_and_says_from_how_many_slices() -> None:
    combined = of_series([reading(0.9), reading(0.7)], 90, {"series_rule": "max"})

    assert combined.model == MODEL
    assert [each["probability"] for each in combined.result["findings"]] == [0.3, 0.9]
    assert combined.result["decision"] == "covid-19"
    assert combined.note == (
        "Read from 2 of 90 slices, evenly spaced. "
        "The largest of the probabilities of 2 of 2 slices. Not measured on series."
    )
