import numpy as np
import pytest
from numpy.typing import NDArray

from contract.findings import Label
from training.conformal import coverage_points, measure_coverage
from training.errors import CalibrationError
from training.predictions import Predictions

LABELS: tuple[Label, ...] = ("normal", "pneumonia")
Figures = dict[tuple[str, str | None], float]


def predictions(
    probabilities: list[list[float]],
    classes: list[int],
    sources: list[str],
    gated: list[bool] | None = None,
) -> Predictions:
    return Predictions(
        logits=np.zeros((len(classes), len(probabilities[0])), np.float32),
        probabilities=np.array(probabilities, np.float32),
        classes=np.array(classes),
        patients=np.arange(len(classes)).astype(np.str_),
        sources=np.array(sources),
        gated=None if gated is None else np.array(gated),
    )


def figures(said: Predictions, *points: float) -> Figures:
    found = measure_coverage(said, np.array(points, np.float32), LABELS, dataset="here", seed=0)
    return {(m.name.removeprefix("conformal_"), m.label or m.source): m.value for m in found}


def test_each_class_is_counted_by_itself() -> None:
    said = predictions([[0.9, 0.1], [0.5, 0.5], [0.35, 0.65], [0.8, 0.2]], [0, 0, 1, 1], ["a"] * 4)

    found = figures(said, 0.4, 0.45)

    assert found["coverage", None] == 0.75
    assert found["refer_share", None] == 0.25
    assert found["error_answered", None] == pytest.approx(1 / 3)
    assert found["coverage", "normal"] == 1
    assert found["refer_share", "normal"] == 0.5
    assert found["error_answered", "pneumonia"] == 0.5


def test_an_image_that_a_gate_stops_is_referred_but_still_covered() -> None:
    said = predictions([[0.9, 0.1], [0.8, 0.2]], [0, 1], ["a", "a"], gated=[False, True])

    found = figures(said, 0.4, 0.4)

    assert found["coverage", None] == 0.5
    assert found["refer_share", None] == 0.5
    assert found["error_answered", None] == 0


def test_where_nothing_is_answered_there_is_no_error() -> None:
    said = predictions([[0.5, 0.5], [0.45, 0.55]], [0, 1], ["a", "a"])

    found = figures(said, 0.6, 0.6)

    assert found["refer_share", None] == 1
    assert ("error_answered", None) not in found


def test_a_source_of_few_images_has_no_figure() -> None:
    said = predictions([[0.9, 0.1]] * 39, [0] * 39, ["many"] * 20 + ["few"] * 19)

    parts = {part for _, part in figures(said, 0.4, 0.4)}

    assert parts == {None, "normal", "many"}


def test_too_few_validation_images_promise_nothing() -> None:
    probabilities = np.full((10, 2), 0.5, np.float32)

    with pytest.raises(CalibrationError, match="8 validation images"):
        coverage_points(probabilities, np.arange(10) // 8, LABELS)


def test_new_images_are_covered_as_promised_in_every_class() -> None:
    random = np.random.default_rng(0)

    def sample(images: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        classes = np.arange(images) % 2
        of_truth = random.beta(5, 2, images)
        second = np.where(classes == 1, of_truth, 1 - of_truth)
        return np.stack([1 - second, second], axis=1).astype(np.float32), classes

    covered = []
    for _ in range(200):
        points = coverage_points(*sample(74), LABELS)
        probabilities, classes = sample(74)
        covered.append((probabilities >= points)[np.arange(74), classes].mean())

    error = 2 * np.std(covered) / np.sqrt(len(covered))
    assert 0.9 - error <= np.mean(covered) <= 0.9 + 1 / 38 + error
