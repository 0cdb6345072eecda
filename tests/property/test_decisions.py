from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from contract.decision import decide
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
