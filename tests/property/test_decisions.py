from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from contract.decision import OodResult, decide
from contract.findings import Label

LABELS: tuple[Label, ...] = get_args(Label)
SHARES = st.lists(st.floats(0, 1, width=32), min_size=len(LABELS), max_size=len(LABELS))


@given(SHARES, SHARES)
def test_a_decision_has_a_label_or_a_reason_never_both(
    probabilities: list[float], operating_points: list[float]
) -> None:
    decision = decide(LABELS, probabilities, operating_points)

    assert (decision.label is None) == bool(decision.reasons)
    met = [n for n, present in enumerate(decision.present) if present]
    assert (decision.label is not None) == ([probabilities[n] for n in met] == [max(probabilities)])
    assert decision.label in (*(LABELS[n] for n in met), None)


@given(SHARES, SHARES, st.integers(0, len(LABELS) - 1))
def test_a_higher_probability_never_takes_a_finding_away(
    probabilities: list[float], operating_points: list[float], index: int
) -> None:
    before = decide(LABELS, probabilities, operating_points)

    raised = [*probabilities[:index], 1.0, *probabilities[index + 1 :]]
    after = decide(LABELS, raised, operating_points)

    assert after.present[index]
    assert all(now >= then for now, then in zip(after.present, before.present, strict=True))


@given(SHARES)
def test_a_probability_meets_an_operating_point_of_its_own_value(shares: list[float]) -> None:
    assert all(decide(LABELS, shares, shares).present)


@given(SHARES, SHARES, st.floats(), st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_not_familiar_is_never_answered(
    probabilities: list[float], operating_points: list[float], score: float, limit: float
) -> None:
    out_of_distribution = OodResult(score=score, limit=limit)

    decision = decide(
        LABELS, probabilities, operating_points, out_of_distribution=out_of_distribution
    )

    assert ("out_of_distribution" in decision.reasons) == (not score <= limit)
    assert decision.label is None or score <= limit
