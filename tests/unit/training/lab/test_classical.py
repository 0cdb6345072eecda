import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tests.synthetic import synthetic_radiograph
from training.lab.classical import (
    BASELINES,
    DESCRIPTIONS,
    Baseline,
    describe,
    fit_baseline,
    gradients,
    gray_levels,
)

SIDE = 48
TRAIN, HELD_OUT = np.arange(0, 40), np.arange(40, 60)
TRUTH = np.arange(60) % 2


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(SIDE, SIDE, float(TRUTH[n]), seed=n) for n in range(60)]
    return np.stack(planes)[..., np.newaxis]


def fitted(
    name: str,
    images: NDArray[np.uint8],
    classes: NDArray[np.int64] = TRUTH,
    rows: NDArray[np.int64] = TRAIN,
) -> Baseline:
    described = describe(name.rpartition("-")[2], images[rows], border=4)
    return fit_baseline(name, described, classes[rows], border=4, seed=0)


def logits(baseline: Baseline, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return baseline.logits(describe(baseline.features, images[HELD_OUT], baseline.border))


@pytest.mark.parametrize("name", BASELINES)
def test_every_learner_finds_the_opacity(name: str, images: NDArray[np.uint8]) -> None:
    found = logits(fitted(name, images), images)

    assert found.shape == (20, 2)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.mean(found.argmax(axis=1) == TRUTH[HELD_OUT]) >= 0.8


@pytest.mark.parametrize("name", ["svm-hog", "random-forest-pca"])
def test_three_classes_have_three_logits(name: str, images: NDArray[np.uint8]) -> None:
    classes = np.where(np.arange(60) % 3 == 2, 2, TRUTH)

    assert logits(fitted(name, images, classes), images).shape == (20, 3)


def test_the_same_seed_gives_the_same_learner(images: NDArray[np.uint8]) -> None:
    first, again = (logits(fitted("random-forest-hog", images), images) for _ in range(2))

    np.testing.assert_array_equal(first, again)


def test_rare_images_count_as_much_as_the_others(images: NDArray[np.uint8]) -> None:
    few = np.concatenate([TRAIN[TRUTH[TRAIN] == 0], TRAIN[TRUTH[TRAIN] == 1][:3]])
    balanced = fitted("logistic-regression-hog", images, rows=few)
    seen, asked = (
        balanced.components.transform(describe("hog", images[rows], 4)) / balanced.scale
        for rows in (few, HELD_OUT)
    )

    natural = LogisticRegression(max_iter=2000).fit(seen, TRUTH[few])

    assert np.diff(logits(balanced, images)).mean() > natural.decision_function(asked).mean()


def test_the_border_says_nothing(images: NDArray[np.uint8]) -> None:
    marked = images.copy()
    marked[:, :4] = 255
    marked[:, -4:] = 255

    np.testing.assert_array_equal(describe("hog", marked, 4), describe("hog", images, 4))


def test_exposure_is_taken_out_of_the_gray_levels(images: NDArray[np.uint8]) -> None:
    plane = images[0, ..., 0]

    np.testing.assert_allclose(gray_levels(plane // 2), gray_levels(plane), atol=0.05)
    assert not np.allclose(gray_levels(plane), gray_levels(images[1, ..., 0]), atol=0.05)


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_an_even_image_can_be_described(name: str) -> None:
    assert not DESCRIPTIONS[name](np.full((32, 32), 7, np.uint8)).any()


@pytest.mark.parametrize("side", [8, 32, 192])
def test_an_image_of_any_size_has_gradients(side: int) -> None:
    assert gradients(synthetic_radiograph(side, side)).size > 0


def test_one_image_takes_some_time(images: NDArray[np.uint8]) -> None:
    assert 0 < fitted("logistic-regression-hog", images).ms_per_image(images[HELD_OUT]) < 1e4
