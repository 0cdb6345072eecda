from typing import cast, get_args

import numpy as np
import pytest

from contract.decision import Evidence, OodResult, Reason, decide
from contract.findings import Label
from contract.quality import Check, CheckName, Quality

LABELS: tuple[Label, ...] = ("normal", "pneumonia")
UNFAMILIAR = OodResult(score=4.3, limit=4.2)


def quality(**passed: bool) -> Quality:
    """Checks that were passed or not, by their names."""
    return Quality(
        checks=tuple(
            Check(
                name=cast("CheckName", name),
                value=1,
                lower=0,
                upper=2,
                advice=None if is_passed else "Repeat it.",
            )
            for name, is_passed in passed.items()
        )
    )


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


def test_a_finding_above_its_point_but_not_the_most_probable_is_referred() -> None:
    decision = decide(("normal", "pneumonia", "covid-19"), [0.43, 0.27, 0.30], [0.6, 0.5, 0.2])

    assert (decision.label, decision.reasons) == (None, ("uncertain",))
    assert decision.present == (False, False, True)


def test_a_model_without_evidence_for_where_it_is_used_refers() -> None:
    decision = decide(LABELS, [0.1, 0.9], [0.6, 0.8], evidenced=False)

    assert (decision.label, decision.reasons) == (None, ("no_evidence",))


def test_a_probability_without_an_operating_point_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        decide(LABELS, [0.2, 0.8], [0.5])


def test_a_clear_finding_on_a_good_and_familiar_image_is_the_answer() -> None:
    decision = decide(
        LABELS,
        [0.1, 0.9],
        [0.6, 0.8],
        quality=quality(noise=True, contrast=True),
        out_of_distribution=OodResult(score=4.2, limit=4.2),
    )

    assert (decision.label, decision.reasons) == ("pneumonia", ())


def test_a_clear_finding_on_a_poor_image_is_referred_with_each_failed_check() -> None:
    poor = quality(exposure=False, noise=True, rotation=False)

    decision = decide(LABELS, [0.1, 0.9], [0.6, 0.8], quality=poor)

    assert decision.label is None
    assert decision.present == (False, True)
    assert decision.reasons == ("quality.exposure", "quality.rotation")


@pytest.mark.parametrize("score", [4.3, float("inf"), float("nan")])
def test_a_clear_finding_on_an_unfamiliar_image_is_referred(score: float) -> None:
    unfamiliar = OodResult(score=score, limit=4.2)

    decision = decide(LABELS, [0.1, 0.9], [0.6, 0.8], out_of_distribution=unfamiliar)

    assert (decision.label, decision.reasons) == (None, ("out_of_distribution",))


def test_every_reason_is_told() -> None:
    decision = decide(
        LABELS, [0.1, 0.1], [0.6, 0.8], quality=quality(noise=False), out_of_distribution=UNFAMILIAR
    )

    assert decision.reasons == ("quality.noise", "out_of_distribution", "uncertain")


def test_every_check_has_a_reason_of_its_own() -> None:
    checks = {f"quality.{name}" for name in get_args(CheckName)}

    assert set(get_args(Reason)) == {"uncertain", "out_of_distribution", "no_evidence"} | checks


def evidence(distance: float = 0.5, findings: tuple[Label, ...] = LABELS) -> Evidence:
    return Evidence(
        source="hospital",
        distance=distance,
        findings=findings,
        calls={"normal": (50, 48), "pneumonia": (68, 46)},
    )


def test_an_answer_rests_on_the_source_that_the_image_is_like() -> None:
    decision = decide(LABELS, [0.1, 0.9], [0.6, 0.8], evidence=evidence())

    assert decision.label == "pneumonia"
    assert "of 68 held-out images called pneumonia, 46 were" in evidence().sentence("pneumonia")


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
