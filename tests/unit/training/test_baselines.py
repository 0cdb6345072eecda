import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from training.baselines import BASELINES, Baseline, fit_baseline, parts_of
from training.features import DESCRIPTIONS, fit_feature_space, gradients, gray_levels

SIDE = 48
TRAIN, HELD_OUT = np.arange(0, 40), np.arange(40, 60)
TRUTH = np.arange(60) % 2


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(SIDE, SIDE, float(TRUTH[n]), seed=n) for n in range(60)]
    return np.stack(planes)[..., np.newaxis]


def fitted(name: str, images: NDArray[np.uint8], classes: NDArray[np.int64]) -> Baseline:
    learner, features = parts_of(name)
    space = fit_feature_space(features, images, TRAIN, border=4, seed=0)
    described = space.transform(images, TRAIN)
    return fit_baseline(learner, space, described, classes[TRAIN], balanced=True, seed=0)


@pytest.mark.parametrize("name", BASELINES)
def test_every_learner_finds_the_opacity(name: str, images: NDArray[np.uint8]) -> None:
    baseline = fitted(name, images, TRUTH)

    logits = baseline.logits(baseline.space.transform(images, HELD_OUT))

    assert logits.shape == (20, 2)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert np.mean(logits.argmax(axis=1) == TRUTH[HELD_OUT]) >= 0.8


@pytest.mark.parametrize("learner", ["svm-hog", "random-forest-pca"])
def test_three_classes_have_three_logits(learner: str, images: NDArray[np.uint8]) -> None:
    classes = np.where(np.arange(60) % 3 == 2, 2, TRUTH)

    baseline = fitted(learner, images, classes)

    assert baseline.logits(baseline.space.transform(images, HELD_OUT)).shape == (20, 3)


def test_the_same_seed_gives_the_same_learner(images: NDArray[np.uint8]) -> None:
    first, again = (fitted("random-forest-hog", images, TRUTH) for _ in range(2))
    features = first.space.transform(images, HELD_OUT)

    np.testing.assert_array_equal(first.logits(features), again.logits(features))


def test_rare_images_count_as_much_where_classes_are_balanced(images: NDArray[np.uint8]) -> None:
    few = np.concatenate([TRAIN[TRUTH[TRAIN] == 0], TRAIN[TRUTH[TRAIN] == 1][:3]])
    space = fit_feature_space("hog", images, few, border=0, seed=0)
    features, truth = space.transform(images, few), TRUTH[few]
    everything = space.transform(images, HELD_OUT)

    balanced, natural = (
        fit_baseline("logistic-regression", space, features, truth, balanced=balanced, seed=0)
        for balanced in (True, False)
    )

    margins = [np.diff(learner.logits(everything)).mean() for learner in (balanced, natural)]
    assert margins[0] > margins[1]


def test_the_border_says_nothing(images: NDArray[np.uint8]) -> None:
    marked = images.copy()
    marked[:, :4] = 255
    marked[:, -4:] = 255
    space = fit_feature_space("hog", images, TRAIN, border=4, seed=0)

    np.testing.assert_array_equal(
        space.transform(marked, HELD_OUT), space.transform(images, HELD_OUT)
    )


def test_images_in_another_order_are_described_the_same(images: NDArray[np.uint8]) -> None:
    space = fit_feature_space("pca", images, TRAIN, border=0, seed=0)

    forwards, backwards = (space.transform(images, rows) for rows in (HELD_OUT, HELD_OUT[::-1]))

    np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-5)


def test_exposure_is_taken_out_of_the_gray_levels(images: NDArray[np.uint8]) -> None:
    plane = images[0, ..., 0]
    darker = plane // 2

    np.testing.assert_allclose(gray_levels(darker), gray_levels(plane), atol=0.05)
    assert not np.allclose(gray_levels(plane), gray_levels(images[1, ..., 0]), atol=0.05)


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_an_even_image_can_be_described(name: str) -> None:
    even = np.full((32, 32), 7, np.uint8)

    assert not DESCRIPTIONS[name](even).any()


@pytest.mark.parametrize("side", [8, 32, 192])
def test_an_image_of_any_size_has_gradients(side: int) -> None:
    assert gradients(synthetic_radiograph(side, side)).size > 0


def test_one_image_takes_some_time(images: NDArray[np.uint8]) -> None:
    assert 0 < fitted("logistic-regression-hog", images, TRUTH).ms_per_image(images, HELD_OUT) < 1e4


def test_a_name_says_learner_and_features() -> None:
    assert parts_of("k-nearest-neighbours-hog") == ("k-nearest-neighbours", "hog")
