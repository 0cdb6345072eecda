import pytest

from contract.series import combine

FIGURE = {"name": "series_auroc", "value": 0.914, "lower": 0.8, "upper": 0.97, "images": 30}


def result(probability: float, *reasons: str) -> dict[str, object]:
    findings = [
        {"label": "other", "probability": 1 - probability, "operating_point": 0.5, "present": 0},
        {"label": "covid-19", "probability": probability, "operating_point": 0.5, "present": 0},
    ]
    return {"decision": "refer", "reasons": list(reasons), "findings": findings}


@pytest.mark.parametrize(
    ("of_slices", "rule", "expected", "decision", "reasons"),
    [
        ([0.9, 0.7, 0.2], "mean", [0.4, 0.6], "covid-19", []),
        ([0.9, 0.1], "max", [0.9, 0.9], "refer", ["uncertain"]),
    ],
)
def test_a_series_has_the_mean_or_the_largest_of_its_slices_as_the_model_says(
    of_slices: list[float], rule: str, expected: list[float], decision: str, reasons: list[str]
) -> None:
    combined = combine([result(each) for each in of_slices], {"series_rule": rule})

    assert [finding["probability"] for finding in combined["findings"]] == expected
    assert (combined["decision"], combined["reasons"]) == (decision, reasons)
    assert combined["rule"] == rule


def test_a_slice_that_is_unlike_the_training_images_does_not_count() -> None:
    slices = [result(0.9), result(0.0, "out_of_distribution"), result(0.7, "uncertain")]

    combined = combine(slices, {})

    assert combined["findings"][1]["probability"] == 0.8
    assert combined["left_out"] == [1]
    assert combined["decision"] == "covid-19"
    assert combined["sentence"].startswith("The mean of the probabilities of 2 of 3 slices.")


def test_a_slice_without_evidence_counts_for_what_it_speaks_against() -> None:
    # As of a source in which COVID-19 alone is called.
    slices = [result(0.9), result(0.9), result(0.05, "no_evidence")]

    combined = combine(slices, {})

    assert combined["left_out"] == []
    assert combined["findings"][1]["probability"] == pytest.approx(0.6166667)


@pytest.mark.parametrize(("doubtful", "decision"), [(2, "covid-19"), (3, "refer"), (4, "refer")])
def test_a_series_is_referred_where_most_of_its_slices_are_in_doubt(
    doubtful: int, decision: str
) -> None:
    doubts = [result(0.9, "uncertain", "no_evidence"), *[result(0.9, "quality.noise")] * 3]

    combined = combine([*doubts[:doubtful], *[result(0.9)] * (4 - doubtful)], {})

    assert combined["decision"] == decision
    assert combined["reasons"] == ([] if doubtful == 2 else ["no_evidence", "quality.noise"])


def test_a_series_whose_slices_are_all_left_out_says_that_all_are_in_its_findings() -> None:
    combined = combine([result(0.9, "quality.noise")] * 3, {})

    assert combined["left_out"] == [0, 1, 2]
    assert combined["sentence"].startswith("The mean of the probabilities of 3 of 3 slices.")


@pytest.mark.parametrize(
    ("metrics", "words"),
    [([], "Not measured on series."), ([FIGURE], "AUROC of held-out series: 0.91 (0.80 to 0.97).")],
)
def test_a_series_says_how_well_its_rule_was_measured(
    metrics: list[dict[str, object]], words: str
) -> None:
    combined = combine([result(0.9), result(0.8)], {"metrics": metrics})

    assert combined["sentence"].endswith(words)
    assert combined["figure"] == (metrics[0] if metrics else None)
