import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from training.metrics import (
    auprc,
    auroc,
    brier,
    confusion,
    estimate,
    expected_calibration_error,
    macro_auroc,
    patient_bootstrap,
)

SCORED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.7, 1.0]), st.booleans(), st.integers(0, 3)),
    min_size=4,
    max_size=40,
).filter(lambda rows: {truth for _, truth, weight in rows if weight} == {True, False})


@given(rows=SCORED)
def test_areas_agree_with_scikit_learn_ties_and_weights_included(
    rows: list[tuple[float, bool, int]],
) -> None:
    scores, truth, weights = (np.array(column) for column in zip(*rows, strict=True))
    weighting = weights[np.newaxis].astype(float)

    areas = [f(scores, truth, weighting)[0] for f in (auroc, auprc)]
    both = np.stack([1 - scores, scores], axis=1)

    assert areas[0] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))
    assert areas[1] == pytest.approx(average_precision_score(truth, scores, sample_weight=weights))
    assert brier(both, truth.astype(int), weighting)[0] == pytest.approx(
        brier_score_loss(truth, scores, sample_weight=weights)
    )


def test_a_class_that_no_image_has_has_no_say_in_the_macro_auroc() -> None:
    scores = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])

    assert macro_auroc(scores, np.array([0, 1, 0]), np.ones((1, 3))) == [1]
    assert np.isnan(macro_auroc(scores, np.array([0, 0, 0]), np.ones((1, 3))))


def test_weights_count_images_several_times() -> None:
    truth, present = np.array([True, True, False]), np.array([True, False, True])

    counts = confusion(present, truth, np.array([[1.0, 1, 1], [3, 1, 0]]))

    assert counts["sensitivity"].tolist() == [0.5, 0.75]
    assert counts["specificity"][0] == 0
    assert np.isnan(counts["specificity"][1])


@pytest.mark.parametrize(
    ("probabilities", "classes", "error"),
    [
        ([[0.75, 0.25]] * 4, [0, 0, 0, 1], 0),
        (
            [[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 4,
            [0, 0, 1, 1, 1, 1, 1, 0],
            (abs(0.9 - 0.5) + abs(0.6 - 0.75)) / 2,
        ),
    ],
)
def test_the_calibration_error_is_the_gap_between_sure_and_right(
    probabilities: list[list[float]], classes: list[int], error: float
) -> None:
    weights = np.ones((1, len(classes)))

    found = expected_calibration_error(np.array(probabilities), np.array(classes), weights)

    assert found[0] == pytest.approx(error)


def test_the_bootstrap_draws_patients_and_not_images() -> None:
    patients = np.array(["a", "b", "a", "c", "b", "a"])

    drawn = patient_bootstrap(patients, seed=0, resamples=50)

    assert drawn.shape == (51, 6)
    assert (drawn[0] == 1).all()
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    np.testing.assert_array_equal(drawn[:, 1], drawn[:, 4])
    assert (drawn[:, 0] + drawn[:, 1] + drawn[:, 3] == 3).all()
    np.testing.assert_array_equal(drawn, patient_bootstrap(patients, seed=0, resamples=50))


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    right = np.array([True] * 80 + [False] * 20)
    patients = np.array([f"patient-{number}" for number in range(100)])

    def share(weights: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
        return confusion(right, np.ones(100, dtype=bool), weights)["sensitivity"]

    figure = estimate(share(patient_bootstrap(patients, seed=1)))

    assert figure.value == pytest.approx(0.8)
    assert figure.lower == pytest.approx(0.8 - 1.96 * 0.04, abs=0.015)
    assert figure.upper == pytest.approx(0.8 + 1.96 * 0.04, abs=0.015)
