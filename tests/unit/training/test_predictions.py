import numpy as np

from tests.training_data import findings
from training.predictions import (
    REFERRED,
    Predictions,
    answered_outputs,
    count_answers,
    count_most_probable,
)

FINDINGS = findings(("normal", 0.6), ("pneumonia", 0.6))


def predictions() -> Predictions:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.45, 0.55], [0.2, 0.8]], np.float32)
    return Predictions(
        logits=np.log(probabilities),
        probabilities=probabilities,
        classes=np.array([0, 0, 1, 1]),
        patients=np.array(list("abcd")),
        sources=np.repeat("one", 4),
    )


def test_an_image_that_meets_no_operating_point_is_referred() -> None:
    answers = answered_outputs(predictions(), FINDINGS)

    assert answers.tolist() == [0, 1, REFERRED, 1]


def test_the_answers_are_counted_by_their_truth_with_the_referred_ones_last() -> None:
    assert count_answers(predictions(), FINDINGS) == ((1, 1, 0), (0, 1, 1))


def test_the_most_probable_classes_are_counted_by_their_truth() -> None:
    assert count_most_probable(predictions()) == ((1, 1), (0, 2))


def test_some_images_keep_what_belongs_to_them() -> None:
    chosen = predictions().of(np.array([False, True, False, True]))

    assert chosen.patients.tolist() == ["b", "d"]
    assert chosen.classes.tolist() == [0, 1]
    assert chosen.probabilities[:, 1].tolist() == predictions().probabilities[[1, 3], 1].tolist()
