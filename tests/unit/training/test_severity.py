from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.manifest import Metric
from tests.bundles import PROVENANCE
from tests.lung_data import write_covid_chestxray
from tests.training_data import CALIBRATION, tiny_recipe
from training.errors import DataError, RecipeError
from training.models import build_classifier
from training.severity import (
    measure_severity,
    read_severity_scores,
    severity_correlations,
)
from training.workdir import Workdir

RANDOM = np.random.default_rng(0)
PATIENTS = np.array([f"patient-{number // 2}" for number in range(40)])


def correlation(shares: NDArray[np.float64], scores: NDArray[np.float64]) -> Metric:
    [found] = severity_correlations(shares, {"extent": scores}, PATIENTS, seed=0)
    return found


def test_the_order_alone_matters() -> None:
    scores = RANDOM.uniform(0, 8, 40)

    assert correlation(scores**3, scores).value == pytest.approx(1)
    assert correlation(-scores, scores).value == pytest.approx(-1)


def test_shares_that_follow_the_scores_exclude_zero() -> None:
    scores = RANDOM.uniform(0, 8, 40)

    found = correlation(scores / 10 + RANDOM.normal(0, 0.05, 40), scores)

    assert found.lower < found.value < found.upper
    assert found.value > 0.9
    assert found.lower > 0
    assert found.images == 40


def test_shares_that_say_nothing_do_not() -> None:
    scores = RANDOM.uniform(0, 8, 40)

    assert not correlation(RANDOM.uniform(0, 1, 40), scores).lower > 0
    assert not correlation(-scores, scores).lower > 0


def test_an_image_without_lungs_is_left_out() -> None:
    scores = RANDOM.uniform(0, 8, 40)
    shares = scores.copy()
    shares[:2] = np.nan

    found = correlation(shares, scores)

    assert found.images == 38
    assert found.value == pytest.approx(1)


def test_the_scored_radiographs_are_listed_with_their_scores(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=4)

    table = read_severity_scores(tmp_path)

    assert list(table["path"]) == [home / "images" / f"chest-{n}.png" for n in (1, 3)]
    assert list(table["patient"]) == ["1", "3"]
    assert list(table["extent"]) == [2, 6]
    assert list(table["opacity"]) == [1.5, 4.5]


def test_a_copy_without_scores_says_so(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=2)
    (home / "severity.csv").unlink()

    with pytest.raises(DataError, match=r"no severity\.csv"):
        read_severity_scores(home)


def test_scores_of_other_images_are_refused(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=2)
    (home / "severity.csv").write_text("filename,geographic_mean,opacity_mean\nother.png,1,1\n")

    with pytest.raises(DataError, match="None of the images"):
        read_severity_scores(home)


def test_a_trained_classifier_is_held_against_the_scores(tmp_path: Path) -> None:
    home, work = write_covid_chestxray(tmp_path), Workdir(tmp_path / "run")
    recipe = tiny_recipe()
    work.bind(recipe, "sha256:1")
    work.write_calibration(CALIBRATION)
    keras.utils.set_random_seed(1)
    work.finish(build_classifier(recipe), PROVENANCE)
    seen = []

    def all_lung(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        seen.append(images.shape)
        return np.ones(images.shape[:3], bool)

    found = measure_severity(work.root, home, "pneumonia", all_lung)

    assert seen == [(4, 32, 32, 1)]
    assert [(metric.name, metric.images) for metric in found] == [("extent", 4), ("opacity", 4)]
    with pytest.raises(RecipeError, match="no finding tuberculosis"):
        measure_severity(work.root, home, "tuberculosis", all_lung)
