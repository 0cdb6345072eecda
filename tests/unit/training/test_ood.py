from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from tests.training_data import tiny_recipe
from training import ood
from training.atomic import read_arrays, write_arrays
from training.errors import WorkdirIncomplete
from training.models import build_classifier, feature_model, with_serving_outputs
from training.ood import OodScorer, describe_image, fit_scorer, scorer_of
from training.transforms import shifted

SIDE = 64
RANDOM = np.random.default_rng(0)


def radiographs(count: int, seed: int) -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(SIDE, SIDE, n % 2, seed + n) for n in range(count)]
    return np.stack(planes)[..., np.newaxis]


def described(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    numbers = describe_image(plane[np.newaxis, ..., np.newaxis])
    return np.asarray(keras.ops.convert_to_numpy(numbers), np.float32).ravel()


Parts = tuple[NDArray[np.float32], NDArray[np.float32]]


def embedded(values: NDArray[np.float64]) -> Parts:
    """The first three columns as a network's features, the others as a description."""
    single = values.astype(np.float32)
    return single[:, :3], single[:, 3:]


def fitted(values: NDArray[np.float64], groups: int) -> OodScorer:
    one = np.zeros(len(values), np.int64)
    return scorer_of(*embedded(values), one, groups, tiny_recipe())


def distances(scorer: OodScorer, values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(scorer.score(*embedded(values))[0]))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_classifier(tiny_recipe(preprocessing={"height": SIDE, "width": SIDE}))


@pytest.fixture(scope="module")
def scorer(model: keras.Model) -> OodScorer:
    images = radiographs(80, seed=0)
    return fit_scorer(feature_model(model), images, tiny_recipe())


def test_a_size_that_does_not_divide_shares_pixels_between_parts() -> None:
    slope = np.tile(np.arange(100, dtype=np.uint8), (60, 1))

    thumbnail = described(slope)[:64].reshape(8, 8)

    np.testing.assert_allclose(thumbnail, np.tile(thumbnail[0], (8, 1)), atol=1e-5)
    np.testing.assert_allclose(np.diff(thumbnail[0]), 12.5 / np.sqrt(820 + 16), rtol=0.01)


def test_the_score_of_one_group_is_the_mahalanobis_distance_per_value() -> None:
    spread = np.array([1, 2, 3, 4, 5, 6]) * np.eye(6)
    values = RANDOM.normal(5, 1, (4000, 6)) @ spread

    scorer = fitted(values, groups=1)

    centred = values - values.mean(axis=0)
    expected = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(values.T)), centred)
    np.testing.assert_allclose(distances(scorer, values), np.sqrt(expected / 6), rtol=0.01)
    # A value that never varies does not break the fit.
    values[:, 2] = values[:, 4] = 7
    assert np.isfinite(distances(fitted(values[:50], groups=8), values)).all()


def test_what_lies_between_two_groups_is_strange_to_both() -> None:
    left, right = RANDOM.normal(-9, 1, (300, 6)), RANDOM.normal(9, 1, (300, 6))
    between = RANDOM.normal(0, 1, (300, 6))
    pool = np.concatenate([left, right])

    one, two = (fitted(pool, groups) for groups in (1, 2))

    assert distances(one, between).mean() < distances(one, left).mean()
    assert distances(two, between).min() > distances(two, left).max()
    assert distances(two, between).min() > distances(two, right).max()


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

    chests = served.predict(radiographs(30, seed=1000), verbose=0)["ood_score"]

    assert chests.shape == (30,)
    assert served.predict(strange, verbose=0)["ood_score"].min() > chests.max()


def test_the_other_outputs_stay_as_they_are(model: keras.Model, scorer: OodScorer) -> None:
    images = radiographs(4, seed=3)

    plain = with_serving_outputs(model, 1.5).predict(images, verbose=0)
    scored = with_serving_outputs(model, 1.5, scorer).predict(images, verbose=0)

    assert set(scored) - set(plain) == {"ood_score"}
    for name, values in plain.items():
        np.testing.assert_array_equal(scored[name], values)


def test_a_small_set_is_seen_under_every_shift(
    model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each image is known by its brightest pixel.
    images = np.minimum(radiographs(2, seed=0), np.array([100, 101], np.uint8)[:, None, None, None])
    shifts = ["none", "brighter", "blurred"]
    seen: list[tuple[str, int]] = []

    def watched(chosen: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        seen.extend((name, int(image.max())) for image in chosen)
        return shifted(chosen, name)

    monkeypatch.setattr(ood, "shifted", watched)
    fit_scorer(feature_model(model), images, tiny_recipe(calibration={"shifts": shifts}))

    assert sorted(seen) == sorted((name, gray) for name in shifts for gray in (100, 101))


def test_the_description_is_what_numpy_makes_of_its_definition() -> None:
    plane = radiographs(1, seed=7)[0, ..., 0]
    level, powers = plane.astype(np.float64), []
    for _ in range(5):
        a, b, c, d = (level[i::2, j::2] for i in (0, 1) for j in (0, 1))
        details = (a - b + c - d, a + b - c - d, a - b - c + d)
        powers += [np.mean((detail / 4) ** 2) for detail in details]
        level = (a + b + c + d) / 4
    cells = plane.reshape(8, SIDE // 8, 8, SIDE // 8).mean(axis=(1, 3))

    found = described(plane)

    thumbnail = (cells - cells.mean()) / np.sqrt(cells.var() + 16)
    exposure = [plane.mean() / 64, np.log(plane.var() + 16) / 2]
    expected = [*thumbnail.ravel(), *exposure, *(np.log(np.array(powers) + 0.05) / 2)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # A small image has as many scales as it can be halved.
    assert described(np.zeros((8, 8), np.uint8)).shape == (64 + 2 + 3 * 3,)
    assert described(np.zeros((192, 130), np.uint8)).shape == (64 + 2 + 3 * 5,)


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut short"])
def test_constants_survive_the_disk_or_cannot_be_read(
    tmp_path: Path, scorer: OodScorer, content: bytes | None
) -> None:
    path = tmp_path / "ood.npz"
    write_arrays(tmp_path / "whole.npz", scorer)
    np.testing.assert_equal(asdict(read_arrays(tmp_path / "whole.npz", OodScorer)), asdict(scorer))
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(WorkdirIncomplete, match="pneumo-train fit"):
        read_arrays(path, OodScorer)


def test_a_recipe_decides_how_many_directions_and_groups_the_score_knows(
    model: keras.Model,
) -> None:
    rules = {"shifts": ["none"], "ood_components": 2, "ood_groups": 1}

    scorer = fit_scorer(
        feature_model(model), radiographs(130, seed=0), tiny_recipe(calibration=rules)
    )

    assert scorer.components.shape[1] == 2
    assert scorer.means.shape[0] == 1
    assert "Mahalanobis distance to one group of training images" in scorer.method
    assert "the nearest of 3 groups" in fitted(RANDOM.normal(0, 1, (40, 6)), groups=3).method


def test_an_image_is_named_after_its_source_and_far_from_the_others() -> None:
    random = np.random.default_rng(0)
    owners = np.arange(300) % 3
    values = random.normal(size=(300, 6)) + 6 * np.eye(6)[owners]
    scorer = scorer_of(*embedded(values), owners, 1, tiny_recipe())

    _, found = scorer.score(*embedded(random.normal(size=(60, 6)) + 6 * np.eye(6)[owners[:60]]))

    distances = np.asarray(keras.ops.convert_to_numpy(found))
    assert distances.shape == (60, 3)
    assert (distances.argmin(axis=1) == owners[:60]).all()
    assert (np.sort(distances)[:, 1] > 3).all()
