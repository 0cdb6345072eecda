import numpy as np
import pytest
from numpy.typing import NDArray

from training.ood.fit import Embedded
from training.ood.methods import METHODS

RANDOM = np.random.default_rng(0)
CLASSES = np.arange(300) % 2


def images(count: int, classes: NDArray[np.int64]) -> Embedded:
    """Features of two classes, each at its end of a line, and descriptions that vary little."""
    ends = np.where(classes == 1, 4.0, -4.0)[:, np.newaxis]
    known = RANDOM.normal(0, 1, (count, 4)) + ends
    features = np.concatenate([known, RANDOM.normal(0, 0.5, (count, 12))], axis=1)
    layout = RANDOM.normal(0, 1, (count, 3)) @ np.eye(3, 70)
    return Embedded(
        features=features.astype(np.float32),
        numbers=(layout + RANDOM.normal(0, 0.01, (count, 70))).astype(np.float32),
        logits=np.concatenate([-ends, ends], axis=1).astype(np.float32),
    )


def strange(count: int) -> Embedded:
    """Features between the classes and beside them, little energy, another description."""
    features = RANDOM.normal(0, 0.5, (count, 16)) + 2.5 * (np.arange(16) >= 4)
    return Embedded(
        features=features.astype(np.float32),
        numbers=RANDOM.normal(0, 3, (count, 70)).astype(np.float32),
        logits=RANDOM.normal(0, 0.1, (count, 2)).astype(np.float32),
    )


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_finds_what_is_strange_in_every_way(name: str) -> None:
    score = METHODS[name](images(300, CLASSES), CLASSES)

    familiar, unfamiliar = score(images(300, CLASSES)), score(strange(50))

    assert familiar.shape == (300,)
    assert unfamiliar.min() > np.quantile(familiar, 0.99)


def test_energy_falls_with_any_strong_logit() -> None:
    score = METHODS["energy"](images(300, CLASSES), CLASSES)
    some = strange(5)

    np.testing.assert_allclose(score(some), -np.logaddexp(*some.logits.T), rtol=1e-6)


def test_the_relative_distance_forgives_what_is_unusual_in_every_class() -> None:
    training = images(300, CLASSES)
    unusual = images(100, CLASSES[:100])
    moved = unusual.features.copy()
    moved[:, 8:] += 1.5
    away = Embedded(moved, unusual.numbers, unusual.logits)

    plain = METHODS["Mahalanobis"](training, CLASSES)
    relative = METHODS["relative Mahalanobis"](training, CLASSES)

    growth = plain(away).mean() - plain(unusual).mean()
    assert relative(away).mean() - relative(unusual).mean() < growth / 2
