from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from tests.training_data import tiny_recipe
from training.errors import WorkdirIncomplete
from training.models import build_classifier, feature_model, with_serving_outputs
from training.ood.descriptor import describe_image
from training.ood.fit import Embedded, embed_training, fit_scorer, scorer_of
from training.ood.scorer import OodScorer, load_scorer

SIDE = 64
RANDOM = np.random.default_rng(0)


def radiographs(count: int, seed: int) -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(SIDE, SIDE, n % 2, seed + n) for n in range(count)]
    return np.stack(planes)[..., np.newaxis]


def described(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    numbers = describe_image(plane[np.newaxis, ..., np.newaxis])
    return np.asarray(keras.ops.convert_to_numpy(numbers), np.float32).ravel()


def embedded(values: NDArray[np.float64]) -> Embedded:
    single = values.astype(np.float32)
    return Embedded(features=single[:, :3], numbers=single[:, 3:], logits=single[:, :2])


def distances(scorer: OodScorer, values: NDArray[np.float64]) -> NDArray[np.float32]:
    images = embedded(values)
    return np.asarray(keras.ops.convert_to_numpy(scorer.distance(images.features, images.numbers)))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_classifier(tiny_recipe(preprocessing={"height": SIDE, "width": SIDE}))


@pytest.fixture(scope="module")
def scorer(model: keras.Model) -> OodScorer:
    images = radiographs(80, seed=0)
    return fit_scorer(model, images, np.arange(80), tiny_recipe())


def test_the_thumbnail_has_the_means_of_equal_parts() -> None:
    cells = RANDOM.integers(0, 256, (8, 8)).astype(np.uint8)

    thumbnail = described(np.kron(cells, np.ones((5, 3), np.uint8)))[:64]

    expected = (cells - cells.mean()) / np.sqrt(cells.var() + 16)
    np.testing.assert_allclose(thumbnail, expected.ravel(), atol=1e-4)


def test_a_size_that_does_not_divide_shares_pixels_between_parts() -> None:
    slope = np.tile(np.arange(100, dtype=np.uint8), (60, 1))

    thumbnail = described(slope)[:64].reshape(8, 8)

    np.testing.assert_allclose(thumbnail, np.tile(thumbnail[0], (8, 1)), atol=1e-5)
    np.testing.assert_allclose(np.diff(thumbnail[0]), 12.5 / np.sqrt(820 + 16), rtol=0.01)


def test_exposure_is_described_beside_the_thumbnail() -> None:
    plane = RANDOM.integers(40, 80, (SIDE, SIDE)).astype(np.uint8)

    dim, bright = described(plane), described(plane * 2)

    np.testing.assert_allclose(bright[64], 2 * dim[64], rtol=1e-5)
    assert bright[65] - dim[65] == pytest.approx(np.log(2), abs=0.05)


def test_fine_stripes_are_detail_of_the_finest_scale_and_of_one_direction() -> None:
    stripes = np.tile(np.array([0, 100], np.uint8), (SIDE, SIDE // 2))

    across, *others = described(stripes)[66:81]

    assert across == pytest.approx(np.log(50), abs=1e-3)
    np.testing.assert_allclose(others, np.log(0.05) / 2, atol=1e-4)


def test_a_small_image_has_as_many_scales_as_it_can_be_halved() -> None:
    assert described(np.zeros((8, 8), np.uint8)).shape == (64 + 2 + 3 * 3,)
    assert described(np.zeros((192, 130), np.uint8)).shape == (64 + 2 + 3 * 5,)


def test_the_score_of_one_group_is_the_mahalanobis_distance_per_value() -> None:
    spread = np.array([1, 2, 3, 4, 5, 6]) * np.eye(6)
    values = RANDOM.normal(5, 1, (4000, 6)) @ spread

    scorer = scorer_of(embedded(values), groups=1, seed=0, components=160)

    centred = values - values.mean(axis=0)
    expected = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(values.T)), centred)
    np.testing.assert_allclose(distances(scorer, values), np.sqrt(expected / 6), rtol=0.01)


def test_what_lies_between_two_groups_is_strange_to_both() -> None:
    left, right = RANDOM.normal(-9, 1, (300, 6)), RANDOM.normal(9, 1, (300, 6))
    between = RANDOM.normal(0, 1, (300, 6))
    pool = embedded(np.concatenate([left, right]))

    one, two = (scorer_of(pool, groups, seed=0, components=160) for groups in (1, 2))

    assert distances(one, between).mean() < distances(one, left).mean()
    assert distances(two, between).min() > distances(two, left).max()
    assert distances(two, between).min() > distances(two, right).max()


def test_a_value_that_never_varies_does_not_break_the_fit() -> None:
    values = RANDOM.normal(0, 1, (50, 6))
    values[:, 2] = values[:, 4] = 7

    scorer = scorer_of(embedded(values), groups=8, seed=0, components=160)

    assert np.isfinite(distances(scorer, values)).all()


def test_strange_images_score_higher_than_radiographs_never_seen(
    model: keras.Model, scorer: OodScorer
) -> None:
    served = with_serving_outputs(model, 1.0, scorer)
    strange = np.stack(
        [
            RANDOM.integers(0, 256, (SIDE, SIDE)),
            np.zeros((SIDE, SIDE)),
            np.full((SIDE, SIDE), 255),
            radiographs(1, 500)[0, ::-1, :, 0],
            np.tile(np.arange(SIDE) * 4, (SIDE, 1)),
        ]
    ).astype(np.uint8)[..., np.newaxis]

    familiar = served.predict(radiographs(30, seed=1000), verbose=0)["ood_score"]

    assert familiar.shape == (30,)
    assert served.predict(strange, verbose=0)["ood_score"].min() > familiar.max()


def test_the_other_outputs_stay_as_they_are(model: keras.Model, scorer: OodScorer) -> None:
    images = radiographs(4, seed=3)

    plain = with_serving_outputs(model, 1.5).predict(images, verbose=0)
    scored = with_serving_outputs(model, 1.5, scorer).predict(images, verbose=0)

    assert set(scored) - set(plain) == {"ood_score"}
    for name, values in plain.items():
        np.testing.assert_array_equal(scored[name], values)


def test_a_score_does_not_hang_on_the_other_images_of_its_batch(
    model: keras.Model, scorer: OodScorer
) -> None:
    served = with_serving_outputs(model, 1.0, scorer)
    images = radiographs(5, seed=9)

    together = served(images)["ood_score"]

    apart = [float(served(images[[number]])["ood_score"][0]) for number in range(5)]
    np.testing.assert_allclose(together, apart, rtol=1e-5)


def test_a_small_set_is_seen_under_every_shift(model: keras.Model) -> None:
    recipe = tiny_recipe(calibration={"shifts": ["none", "brighter", "blurred"]})
    images = radiographs(6, seed=0)

    rows, found = embed_training(model, images, np.array([1, 4]), recipe)

    assert sorted(rows) == [1, 1, 1, 4, 4, 4]
    assert len(np.unique(found.numbers.round(3), axis=0)) == 6


def test_without_shifts_every_training_image_is_seen_once(model: keras.Model) -> None:
    images = radiographs(9, seed=0)

    rows, found = embed_training(model, images, np.arange(2, 9), tiny_recipe())

    assert sorted(rows) == list(range(2, 9))
    expected = feature_model(model).predict(images[rows], verbose=0)
    np.testing.assert_allclose(found.features, expected, atol=1e-5)


def test_the_constants_survive_the_disk(tmp_path: Path, scorer: OodScorer) -> None:
    scorer.save(tmp_path / "ood.npz")

    loaded = load_scorer(tmp_path / "ood.npz")

    assert loaded.method == scorer.method
    np.testing.assert_array_equal(loaded.whitening, scorer.whitening)
    assert loaded.components.dtype == np.float32


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut short"])
def test_constants_that_cannot_be_read_are_said_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ood.npz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(WorkdirIncomplete, match="pneumo-train fit"):
        load_scorer(path)


def test_the_method_reads_as_words_of_the_manifest() -> None:
    values = embedded(RANDOM.normal(0, 1, (40, 6)))

    assert "the nearest of 3 groups" in scorer_of(values, groups=3, seed=0, components=160).method
    assert "one group" in scorer_of(values, groups=1, seed=0, components=160).method


def test_a_recipe_decides_how_many_directions_and_groups_the_score_knows(
    model: keras.Model,
) -> None:
    rules = {"shifts": ["none"], "ood_components": 2, "ood_groups": 1}

    scorer = fit_scorer(
        model, radiographs(130, seed=0), np.arange(130), tiny_recipe(calibration=rules)
    )

    assert scorer.components.shape[1] == 2
    assert scorer.means.shape[0] == 1
