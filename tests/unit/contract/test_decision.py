from typing import cast, get_args

import numpy as np
import pytest

from contract.decision import Evidence, OodResult, Reason, decide
from contract.findings import CODES, Label
from contract.quality import Check, CheckName, Quality

LABELS: tuple[Label, ...] = ("normal", "pneumonia")


def quality(**passed: bool) -> Quality:
    """Checks that were passed or not, by their names."""
    return Quality(
        checks=tuple(
            Check(cast("CheckName", name), 1, 0, 2, None if is_passed else "Repeat it.")
            for name, is_passed in passed.items()
        )
    )


def unlike(score: float) -> dict[str, object]:
    return {"out_of_distribution": OodResult(score=score, limit=4.2)}


def evidence(distance: float = 0.5, findings: tuple[Label, ...] = LABELS) -> Evidence:
    return Evidence(
        source="hospital",
        distance=distance,
        findings=findings,
        calls={"normal": (50, 48), "pneumonia": (68, 46)},
    )


SURE = [0.1, 0.9]
POOR = quality(exposure=False, noise=True, rotation=False)
# The probabilities, what else is known of the image, the label and the reasons.
Case = tuple[list[float], dict[str, object], Label | None, tuple[str, ...]]
DECISIONS: dict[str, Case] = {
    "the finding that alone meets its point": (SURE, {}, "pneumonia", ()),
    "a probability at its point": ([0.2, float(np.float32(0.8))], {}, "pneumonia", ()),
    "no finding": ([0.5, 0.5], {}, None, ("uncertain",)),
    "several findings": ([0.7, 0.9], {}, None, ("uncertain",)),
    "a finding at its point, another more probable": ([0.7, 0.75], {}, None, ("uncertain",)),
    "not a number": ([float("nan"), 0.1], {}, None, ("uncertain",)),
    "a good image": (SURE, {"quality": quality(noise=True)}, "pneumonia", ()),
    "a poor image": (SURE, {"quality": POOR}, None, ("quality.exposure", "quality.rotation")),
    "a familiar image": (SURE, unlike(4.2), "pneumonia", ()),
    "an unfamiliar image": (SURE, unlike(4.3), None, ("out_of_distribution",)),
    "an endless score": (SURE, unlike(float("inf")), None, ("out_of_distribution",)),
    "a score that is no number": (SURE, unlike(float("nan")), None, ("out_of_distribution",)),
    "a model without evidence": (SURE, {"evidenced": False}, None, ("no_evidence",)),
    "an image like a source": (SURE, {"evidence": evidence()}, "pneumonia", ()),
    "all at once": (
        [0.1, 0.1],
        {"quality": quality(noise=False), **unlike(4.3)},
        None,
        ("quality.noise", "out_of_distribution", "uncertain"),
    ),
}


@pytest.mark.parametrize("case", DECISIONS)
def test_a_clear_finding_is_the_answer_and_all_else_is_referred_with_its_reasons(case: str) -> None:
    probabilities, known, label, reasons = DECISIONS[case]

    decision = decide(LABELS, probabilities, [0.6, 0.8], **known)  # type: ignore[arg-type]

    assert (decision.label, decision.reasons) == (label, reasons)
    assert decision.present == tuple(p >= t for p, t in zip(probabilities, [0.6, 0.8], strict=True))


def test_a_probability_without_an_operating_point_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        decide(LABELS, [0.2, 0.8], [0.5])


def test_every_label_has_a_code_of_its_own() -> None:
    assert set(CODES) == set(get_args(Label))
    assert len({code.code for code in CODES.values()}) == len(CODES)


def test_every_check_has_a_reason_of_its_own() -> None:
    checks = {f"quality.{name}" for name in get_args(CheckName)}

    assert set(get_args(Reason)) == {"uncertain", "out_of_distribution", "no_evidence"} | checks


@pytest.mark.parametrize(
    ("resting_on", "said"),
    [
        (evidence(distance=1.01), "Like no images that the model was measured on"),
        (evidence(distance=float("nan")), "Like no images that the model was measured on"),
        (evidence(findings=()), "not shown to tell its findings apart"),
        (evidence(findings=("normal",)), "not pneumonia"),
    ],
)
def test_an_answer_without_evidence_is_referred(resting_on: Evidence, said: str) -> None:
    decision = decide(LABELS, [0.1, 0.9], [0.6, 0.8], evidence=resting_on)

    assert (decision.label, decision.reasons) == (None, ("no_evidence",))
    assert said in resting_on.sentence("pneumonia")
    assert "of 68 held-out images called pneumonia, 46 were" in evidence().sentence("pneumonia")
