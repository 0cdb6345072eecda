import numpy as np
import pytest

from contract.decision import decide
from contract.findings import Label

LABELS: tuple[Label, ...] = ("normal", "pneumonia")


def test_the_finding_that_alone_meets_its_operating_point_is_the_answer() -> None:
    decision = decide(LABELS, [0.1, 0.9], [0.6, 0.8])

    assert decision.label == "pneumonia"
    assert decision.present == (False, True)
    assert decision.reasons == ()


@pytest.mark.parametrize("probabilities", [[0.5, 0.5], [0.7, 0.9], [float("nan"), 0.1]])
def test_no_finding_or_several_are_referred(probabilities: list[float]) -> None:
    decision = decide(LABELS, probabilities, [0.6, 0.8])

    assert decision.label is None
    assert decision.reasons == ("uncertain",)


def test_a_probability_at_its_operating_point_meets_it() -> None:
    probability = float(np.float32(0.8))

    assert decide(LABELS, [0.2, probability], [0.9, 0.8]).label == "pneumonia"


def test_a_probability_without_an_operating_point_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        decide(LABELS, [0.2, 0.8], [0.5])
