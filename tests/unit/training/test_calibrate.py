import numpy as np
import pytest

from tests.training_data import tiny_recipe
from training.calibrate import (
    activation_scale,
    calibrate,
    calibrated,
    fit_temperature,
    mean_loss,
    ood_limit,
    operating_points,
)
from training.config import OperatingPointConfig
from training.models import build_classifier, feature_model, with_serving_outputs
from training.ood import fit_scorer
from training.transforms import shifted

LOGITS = np.random.default_rng(0).normal(0, 2, (4000, 2)).astype(np.float32)


def drawn(logits: np.typing.NDArray[np.float32]) -> np.typing.NDArray[np.int64]:
    chance = np.random.default_rng(1).random(len(logits))
    return (chance < calibrated(logits, temperature=1)[:, 1]).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature: float) -> None:
    classes = drawn(LOGITS)

    found = fit_temperature(LOGITS * np.float32(temperature), classes)

    assert found == pytest.approx(temperature, rel=0.1)


def test_the_loss_is_the_mean_negative_log_likelihood() -> None:
    logits = np.log(np.array([[0.2, 0.8], [0.5, 0.5]], np.float32))

    assert mean_loss(logits, np.array([1, 0])) == pytest.approx(-np.log([0.8, 0.5]).mean())


def test_a_heatmap_is_full_at_the_last_hundredth_of_positive_activations() -> None:
    maps = np.concatenate([np.linspace(0.1, 10, 100), -np.ones(900)]).reshape(10, 10, 10)

    assert activation_scale(maps.astype(np.float32)) == pytest.approx(9.9, abs=0.05)
    # Without any evidence there is a scale all the same.
    assert activation_scale(-np.ones((2, 3, 3), np.float32)) == 1.0


def test_findings_stand_in_order_and_shifted_validation_images_keep_the_limit() -> (
    None
):
    recipe = tiny_recipe(calibration={"shifts": ["none", "brighter"]})
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), dtype=np.uint8)
    model = build_classifier(recipe)
    scorer = fit_scorer(feature_model(model), images[:20], recipe)

    calibration = calibrate(model, images[20:], np.array([0, 1] * 10), recipe, scorer)

    assert [finding.label for finding in calibration.findings] == ["normal", "pneumonia"]
    assert "specificity of at least 0.9 over all of 2" in (
        calibration.findings[0].operating_point_rule
    )
    assert (calibration.validation_images, calibration.shifts) == (20, ("none", "brighter"))
    assert calibration.loss_after <= calibration.loss_before + 1e-6
    served = with_serving_outputs(model, calibration.temperature, scorer)
    scores = [
        served.predict(shifted(images[20:], name), verbose=0)["ood_score"]
        for name in ("none", "brighter")
    ]
    assert calibration.out_of_distribution is not None
    assert calibration.out_of_distribution.limit == pytest.approx(1.001 * np.max(scores), rel=1e-5)
    assert calibration.out_of_distribution.method == scorer.method


def test_at_most_one_accepted_image_in_a_hundred_is_beyond_the_limit() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1000)).astype(np.float32)

    limit = ood_limit(scores)

    assert (scores > limit).sum() in (9, 10)
    # A thousandth above the last image that it keeps.
    assert np.abs(scores * 1.001 - limit).min() < 1e-3


def test_each_finding_gets_the_operating_point_of_its_own_rule() -> None:
    rules = (
        OperatingPointConfig(label="normal", rule="precision", target=0.75),
        OperatingPointConfig(label="pneumonia", rule="sensitivity", target=0.5),
    )
    recipe = tiny_recipe().model_copy(update={"operating_points": rules})
    normal = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.3, 0.1], np.float32)
    probabilities = np.stack([normal, 1 - normal], axis=1)[np.newaxis]
    classes = np.array([0, 0, 1, 0, 1, 1, 1])

    found = operating_points(probabilities, classes, recipe, None)

    # Three of the four images from 0.7 up are normal; two of the four with pneumonia have 0.7.
    assert found == pytest.approx((0.7, 0.7), abs=1e-6)


def test_calls_must_be_right_often_enough_over_all_shifts_together() -> None:
    rules = (
        OperatingPointConfig(label="normal", rule="precision", target=0.75),
        OperatingPointConfig(label="pneumonia", rule="sensitivity", target=0.5),
    )
    recipe = tiny_recipe().model_copy(update={"operating_points": rules})
    plain, darker = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.1, 0.6]], np.float32)
    probabilities = np.stack([[p, 1 - p] for p in (plain, darker)]).swapaxes(1, 2)
    classes = np.array([0, 0, 0, 1])

    alone = operating_points(probabilities[:1], classes, recipe, None)
    both = operating_points(probabilities, classes, recipe, None)

    # As they are, three of four; darker, the fourth is called normal once more.
    assert alone[0] == pytest.approx(0.6)
    assert both[0] == pytest.approx(0.7)
