import pytest

from contract.series import combine


def result(probability: float, *reasons: str) -> dict[str, object]:
    findings = [
        {"label": "other", "probability": 1 - probability, "operating_point": 0.5, "present": 0},
        {"label": "covid-19", "probability": probability, "operating_point": 0.5, "present": 0},
    ]
    return {"decision": "refer", "reasons": list(reasons), "findings": findings}


def test_a_series_has_the_largest_of_its_slices_where_the_model_says_so() -> None:
    combined = combine([result(0.9), result(0.1)], {"series_rule": "max"})

    assert [finding["probability"] for finding in combined["findings"]] == [0.9, 0.9]
    assert (combined["decision"], combined["reasons"]) == ("refer", ["uncertain"])
    assert combined["rule"] == "max"
    assert combined["figure"] is None
    assert combined["sentence"] == (
        "The largest of the probabilities of 2 of 2 slices. Not measured on series."
    )


@pytest.mark.parametrize(
    ("slices", "left_out", "probability", "counted"),
    [
        ([result(0.9), result(0.0, "out_of_distribution"), result(0.7, "uncertain")], [1], 0.8, 2),
        # As of a source in which COVID-19 alone is called.
        ([result(0.9), result(0.9), result(0.05, "no_evidence")], [], 0.6166667, 3),
        ([result(0.9, "quality.noise")] * 3, [0, 1, 2], 0.9, 3),
    ],
    ids=["unlike the training images", "without evidence", "all of poor quality"],
)
def test_a_slice_that_the_model_does_not_know_is_left_out_unless_it_speaks_against_or_all_are(
    slices: list[dict[str, object]], left_out: list[int], probability: float, counted: int
) -> None:
    combined = combine(slices, {})

    assert combined["left_out"] == left_out
    assert combined["findings"][1]["probability"] == probability
    assert combined["sentence"].startswith(
        f"The mean of the probabilities of {counted} of 3 slices."
    )


@pytest.mark.parametrize(("doubtful", "decision"), [(2, "covid-19"), (3, "refer"), (4, "refer")])
def test_a_series_is_referred_where_most_of_its_slices_are_in_doubt(
    doubtful: int, decision: str
) -> None:
    doubts = [result(0.9, "uncertain", "no_evidence"), *[result(0.9, "quality.noise")] * 3]

    combined = combine([*doubts[:doubtful], *[result(0.9)] * (4 - doubtful)], {})

    assert combined["decision"] == decision
    assert combined["reasons"] == ([] if doubtful == 2 else ["no_evidence", "quality.noise"])
