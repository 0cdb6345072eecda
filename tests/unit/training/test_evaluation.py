from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from contract.findings import Label
from contract.manifest import Finding, Metric
from tests.training_data import findings
from training.calibrate import calibrated
from training.evaluation import measure, measure_series
from training.predictions import (
    REFERRED,
    Predictions,
    answered_outputs,
    count_answers,
    count_most_probable,
)

TEMPERATURE = 2.0


FINDINGS = findings(("normal", 0.7), ("pneumonia", 0.6))
THREE = findings(("normal", 0.4), ("pneumonia", 0.5), ("covid-19", 0.45))


def predictions() -> Predictions:
    pneumonia = np.array([0.9, 0.8, 0.65, 0.5, 0.1, 0.2, 0.65, 0.35])
    logits = TEMPERATURE * np.log(np.stack([1 - pneumonia, pneumonia], axis=1)).astype(np.float32)
    return Predictions(
        logits=logits,
        probabilities=calibrated(logits, TEMPERATURE),
        classes=np.array([1, 1, 1, 1, 0, 0, 0, 0]),
        patients=np.array(list("aabbccdd")),
        sources=np.repeat("one", 8),
    )


def three_class_predictions(images: int = 90) -> Predictions:
    random = np.random.default_rng(0)
    classes = np.arange(images) % 3
    logits = (random.normal(0, 1, (images, 3)) + 1.2 * np.eye(3)[classes]).astype(np.float32)
    return Predictions(
        logits=logits,
        probabilities=calibrated(logits, TEMPERATURE),
        classes=classes,
        patients=np.array([f"patient-{number}" for number in range(images)]),
        sources=np.where(np.arange(images) < images // 2, "here", "there"),
    )


def measured(
    predicted: Predictions, found: tuple[Finding, ...], positive: Label | None
) -> dict[tuple[str, str | None, str | None], Metric]:
    metrics = measure(predicted, found, positive, dataset="synthetic", seed=0)
    return {(metric.name, metric.label, metric.source): metric for metric in metrics}


def test_every_figure_of_a_known_case() -> None:
    found = measured(predictions(), FINDINGS, "pneumonia")

    values = {name: m.value for (name, *of), m in found.items() if of == [None, None]}
    assert values["sensitivity"] == pytest.approx(3 / 4)
    assert values["specificity"] == pytest.approx(3 / 4)
    assert values["precision"] == pytest.approx(3 / 4)
    assert values["accuracy"] == pytest.approx(6 / 8)
    assert values["f1"] == pytest.approx(3 / 4)
    assert values["auroc"] == pytest.approx(14.5 / 16)
    assert values["refer_share"] == pytest.approx(2 / 8)
    assert values["accuracy_answered"] == pytest.approx(5 / 6)
    assert values["true_positives"] == 3
    assert values["false_negatives"] == 1
    assert values["brier"] < values["brier_uncalibrated"] + 0.1
    assert values["ece"] != values["ece_uncalibrated"]


def series_figures(predicted: Predictions) -> dict[str, tuple[float, int]]:
    metrics = measure_series(predicted, FINDINGS, "pneumonia", "mean", dataset="four", seed=0)
    return {metric.name: (metric.value, metric.images) for metric in metrics}


def test_series_are_measured_as_they_are_answered() -> None:
    doubts = np.array(["", "gated", "", "", "gated", "gated", "", ""])

    # 0.9, with one of two left out; 0.575, of two; 0.15, referred as both are; 0.5, of two.
    assert series_figures(replace(predictions(), doubts=doubts)) == {
        "series_auroc": (1.0, 4),
        "series_refer_share": (0.75, 4),
        "series_accuracy_answered": (1.0, 4),
    }


def test_a_slice_without_evidence_counts_in_its_series_and_one_alone_is_none() -> None:
    doubts = np.array(["", "no_evidence", "", "", "no_evidence", "no_evidence", "", ""])

    certain, doubted = map(series_figures, (predictions(), replace(predictions(), doubts=doubts)))

    assert doubted["series_auroc"] == certain["series_auroc"]
    assert doubted["series_refer_share"] == (certain["series_refer_share"][0] + 1 / 4, 4)
    assert not series_figures(replace(predictions(), patients=np.array(list("abcdefgh"))))


def test_every_figure_has_its_interval_and_says_of_what_it_is() -> None:
    metrics = measure(predictions(), FINDINGS, "pneumonia", dataset="eight images", seed=0)

    assert all(metric.lower <= metric.value <= metric.upper for metric in metrics)
    assert {metric.dataset for metric in metrics} == {"eight images"}
    # Those of the whole come first.
    whole = [m for m in metrics if m.label is None and m.source is None]
    assert list(metrics[: len(whole)]) == whole
    assert {m.images for m in whole} == {8}
    assert len({(m.name, m.label, m.source) for m in metrics}) == len(metrics)


def test_the_same_seed_gives_the_same_intervals() -> None:
    eight_patients = replace(predictions(), patients=np.array(list("abcdefgh")))
    first, again, other = (
        measure(eight_patients, FINDINGS, "pneumonia", dataset="eight images", seed=seed)
        for seed in (0, 0, 1)
    )

    assert first == again
    assert first != other


def test_the_figures_of_several_classes_agree_with_scikit_learn() -> None:
    predicted = three_class_predictions()
    scores, truth = predicted.probabilities.astype(np.float64), predicted.classes

    found = measured(predicted, THREE, None)

    said = scores.argmax(axis=1)
    scores = scores / scores.sum(axis=1, keepdims=True)
    expected = {
        "macro_auroc": roc_auc_score(truth, scores, multi_class="ovr"),
        "accuracy": accuracy_score(truth, said),
        "balanced_accuracy": balanced_accuracy_score(truth, said),
        "brier": np.mean([brier_score_loss(truth == c, scores[:, c]) for c in range(3)]) * 3 / 2,
    }
    for name, value in expected.items():
        assert found[name, None, None].value == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("number", range(3))
def test_the_figures_of_each_class_agree_with_scikit_learn(number: int) -> None:
    predicted = three_class_predictions()
    scores = predicted.probabilities[:, number].astype(np.float64)
    truth, finding = predicted.classes == number, THREE[number]
    present = scores >= finding.operating_point

    found = measured(predicted, THREE, None)

    expected = {
        "auroc": roc_auc_score(truth, scores),
        "auprc": average_precision_score(truth, scores),
        "accuracy": accuracy_score(truth, present),
        "sensitivity": recall_score(truth, present),
        "specificity": recall_score(~truth, ~present),
        "precision": precision_score(truth, present),
        "f1": f1_score(truth, present),
    }
    for name, value in expected.items():
        assert found[name, finding.label, None].value == pytest.approx(value), name


def test_a_class_says_how_many_of_its_own_images_are_referred() -> None:
    found = measured(predictions(), FINDINGS, "pneumonia")

    of_pneumonia = found["refer_share", "pneumonia", None]
    assert of_pneumonia.value == pytest.approx(1 / 4)
    assert of_pneumonia.images == 4
    assert found["accuracy_answered", "pneumonia", None].value == 1
    assert found["accuracy_answered", "normal", None].value == pytest.approx(2 / 3)


def test_each_source_has_its_own_figures() -> None:
    predicted = three_class_predictions()
    here = predicted.sources == "here"
    said = predicted.probabilities.argmax(axis=1)

    found = measured(predicted, THREE, None)

    accuracy = found["accuracy", None, "here"]
    assert accuracy.value == pytest.approx((said == predicted.classes)[here].mean())
    assert accuracy.images == here.sum()
    assert found["auroc", "covid-19", "there"].value == pytest.approx(
        roc_auc_score(predicted.classes[~here] == 2, predicted.probabilities[~here, 2])
    )


def test_a_source_of_one_class_has_no_auroc_and_one_of_few_images_is_counted_only() -> None:
    several = predictions().of(np.repeat(np.arange(8), 5))
    sources = np.repeat(["ill", "well"], 20)
    one_class_each, unequal = (
        measured(replace(several, sources=names), FINDINGS, "pneumonia")
        for names in (sources, np.repeat(["many", "few"], [21, 19]))
    )

    names = {source: {n for n, _, s in one_class_each if s == source} for source in set(sources)}
    answers = {"accuracy", "refer_share", "accuracy_answered"}
    assert names == {"ill": answers | {"sensitivity"}, "well": answers | {"specificity"}}
    assert one_class_each["sensitivity", "pneumonia", "ill"].value == pytest.approx(3 / 4)
    assert {name for name, _, source in unequal if source == "few"} == {"images"}
    assert unequal["images", None, "few"].value == 19
    assert ("accuracy", None, "many") in unequal


def test_what_a_gate_stops_counts_as_referred() -> None:
    stopped = replace(predictions(), doubts=np.where(np.arange(8) == 0, "gated", ""))

    before, after = (measured(said, FINDINGS, "pneumonia") for said in (predictions(), stopped))

    share = ("refer_share", None, None)
    assert after[share].value == pytest.approx(before[share].value + 1 / 8)
    assert after["accuracy", None, None] == before["accuracy", None, None]


def test_figures_that_the_images_do_not_give_are_left_out() -> None:
    of_two = three_class_predictions().of(three_class_predictions().classes < 2)
    only_ill = predictions().of(predictions().classes == 1)

    two, ill = measured(of_two, THREE, None), measured(only_ill, FINDINGS, "pneumonia")

    assert {n for n, label, s in two if label == "covid-19" and s is None} == {"specificity"}
    assert two["macro_auroc", None, None].value > 0.5
    names = {name for name, *of in ill if of == [None, None]}
    assert "sensitivity" in names
    assert not names & {"auroc", "specificity"}


def test_a_positive_finding_among_several_has_the_macro_auroc_beside_it() -> None:
    predicted = three_class_predictions()

    found = measured(predicted, THREE, "covid-19")

    of_covid = roc_auc_score(predicted.classes == 2, predicted.probabilities[:, 2])
    macro = measured(predicted, THREE, None)["macro_auroc", None, None].value
    assert found["auroc", None, None].value == pytest.approx(of_covid)
    assert found["macro_auroc", None, None].value == macro


def test_answers_are_counted_by_their_truth_with_the_referred_ones_last() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.45, 0.55], [0.2, 0.8]], np.float32)
    four = replace(
        predictions().of(np.arange(4)), probabilities=probabilities, classes=np.array([0, 0, 1, 1])
    )
    points = findings(("normal", 0.6), ("pneumonia", 0.6))

    assert answered_outputs(four, points).tolist() == [0, 1, REFERRED, 1]
    assert count_answers(four, points) == ((1, 1, 0), (0, 1, 1))
    assert count_most_probable(four) == ((1, 1), (0, 2))
