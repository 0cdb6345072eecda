from dataclasses import replace

import numpy as np
import pytest

from contract.manifest import Finding
from training.calibrate import calibrated
from training.measure import Predictions, measure

TEMPERATURE = 2.0
FINDINGS = tuple(
    Finding.model_validate(
        {
            "label": label,
            "operating_point": point,
            "operating_point_rule": "for the test",
            "activation_scale": 1,
        }
    )
    for label, point in (("normal", 0.7), ("pneumonia", 0.6))
)


def predictions() -> Predictions:
    pneumonia = np.array([0.9, 0.8, 0.65, 0.5, 0.1, 0.2, 0.65, 0.35])
    logits = TEMPERATURE * np.log(np.stack([1 - pneumonia, pneumonia], axis=1)).astype(np.float32)
    return Predictions(
        logits=logits,
        probabilities=calibrated(logits, TEMPERATURE),
        classes=np.array([1, 1, 1, 1, 0, 0, 0, 0]),
        patients=np.array(list("aabbccdd")),
    )


def test_every_figure_of_a_known_case() -> None:
    metrics = measure(predictions(), FINDINGS, "pneumonia", dataset="eight images", seed=0)

    values = {metric.name: metric.value for metric in metrics}
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


def test_every_figure_has_its_interval_and_says_of_what_it_is() -> None:
    metrics = measure(predictions(), FINDINGS, "pneumonia", dataset="eight images", seed=0)

    assert all(metric.lower <= metric.value <= metric.upper for metric in metrics)
    assert {(metric.dataset, metric.images) for metric in metrics} == {("eight images", 8)}
    assert len({metric.name for metric in metrics}) == len(metrics)


def test_the_same_seed_gives_the_same_intervals() -> None:
    eight_patients = replace(predictions(), patients=np.array(list("abcdefgh")))
    first, again, other = (
        measure(eight_patients, FINDINGS, "pneumonia", dataset="eight images", seed=seed)
        for seed in (0, 0, 1)
    )

    assert first == again
    assert first != other
