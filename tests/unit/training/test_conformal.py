import numpy as np

from contract.manifest import Finding
from training.config import OperatingPointConfig
from training.conformal import Coverage, measure_coverage
from training.operating_points import operating_point
from training.predictions import Predictions


def findings(*points: float) -> list[Finding]:
    labels = ("normal", "pneumonia", "tuberculosis")
    return [
        Finding.model_validate(
            {
                "label": label,
                "operating_point": point,
                "operating_point_rule": "coverage",
                "activation_scale": 1,
            }
        )
        for label, point in zip(labels, points, strict=False)
    ]


def predictions(
    probabilities: list[list[float]], classes: list[int], sources: list[str]
) -> Predictions:
    return Predictions(
        logits=np.zeros((len(classes), len(probabilities[0])), np.float32),
        probabilities=np.array(probabilities, np.float32),
        classes=np.array(classes),
        patients=np.arange(len(classes)).astype(np.str_),
        sources=np.array(sources),
    )


def test_each_part_is_counted_by_itself() -> None:
    said = predictions(
        [[0.9, 0.1], [0.5, 0.5], [0.35, 0.65], [0.8, 0.2]], [0, 0, 1, 1], ["a", "b", "a", "b"]
    )

    table = {row.part: row for row in measure_coverage(said, findings(0.4, 0.45))}

    assert list(table) == ["all", "normal", "pneumonia", "a", "b"]
    assert table["all"] == Coverage("all", 4, 0.75, 0.25, 0.0, 1 / 3)
    assert table["normal"] == Coverage("normal", 2, 1.0, 0.5, 0.0, 0.0)
    assert table["pneumonia"] == Coverage("pneumonia", 2, 0.5, 0.0, 0.0, 0.5)
    assert table["a"] == Coverage("a", 2, 1.0, 0.0, 0.0, 0.0)


def test_where_nothing_is_answered_there_is_no_error() -> None:
    said = predictions([[0.5, 0.5], [0.45, 0.55]], [0, 1], ["a", "a"])

    [everything, *_] = measure_coverage(said, findings(0.6, 0.6))

    assert everything.error_answered is None
    assert everything.refer_share == 1
    assert everything.empty_share == 1


def test_a_class_without_images_has_no_row() -> None:
    said = predictions([[0.5, 0.3, 0.2]], [1], ["a"])

    parts = [row.part for row in measure_coverage(said, findings(0.3, 0.3, 0.3))]

    assert parts == ["all", "pneumonia", "a"]


def test_new_images_are_covered_as_promised_in_every_class() -> None:
    random = np.random.default_rng(0)
    config = OperatingPointConfig(label="pneumonia", rule="coverage", target=0.9)
    covered = []
    for _ in range(400):
        old, new = random.beta(5, 2, (2, 37)).astype(np.float32)
        point = operating_point(old[np.newaxis], np.ones(37, dtype=bool), config)
        covered.append((new >= np.float32(point)).mean())

    mean = np.mean(covered)

    assert 0.9 - 2 * np.std(covered) / 20 <= mean <= 0.9 + 1 / 38 + 2 * np.std(covered) / 20
