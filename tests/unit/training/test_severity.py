from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.lung_data import write_covid_chestxray
from training.errors import DataError
from training.metrics import Floats
from training.severity import (
    gray,
    lung_features,
    measure_severity,
    out_of_fold,
    rank_correlation,
    read_severity_scores,
)

RANDOM = np.random.default_rng(0)
PATIENTS = np.array([f"patient-{number // 2}" for number in range(16)])
TRUTH = RANDOM.uniform(0, 8, 16)
FOLLOWING = np.stack([TRUTH + RANDOM.normal(0, 1, 16), RANDOM.normal(0, 1, 16)], axis=1)
UNRELATED = RANDOM.normal(0, 1, (16, 8))


def predicted(*rivals: Floats, truth: Floats = TRUTH) -> Floats:
    return out_of_fold(rivals, truth, PATIENTS, rivals)


def test_the_order_alone_matters() -> None:
    assert rank_correlation("extent", TRUTH**3, TRUTH, PATIENTS).value == pytest.approx(1)
    assert rank_correlation("extent", -TRUTH, TRUTH, PATIENTS).value == pytest.approx(-1)


def test_features_that_follow_the_scores_predict_them() -> None:
    found = rank_correlation("extent", predicted(FOLLOWING), TRUTH, PATIENTS)

    assert found.lower < found.value < found.upper
    assert found.lower > 0.3
    assert found.images == 16


def test_features_that_say_nothing_do_not() -> None:
    found = rank_correlation("extent", predicted(UNRELATED), TRUTH, PATIENTS)

    assert not found.lower > 0


def test_the_better_of_rival_features_is_chosen() -> None:
    both = predicted(UNRELATED, FOLLOWING)

    assert both == pytest.approx(predicted(FOLLOWING))


def test_no_score_of_a_patient_takes_part_in_his_own_prediction() -> None:
    changed = TRUTH.copy()
    changed[:2] = 100

    found = predicted(FOLLOWING, truth=changed)

    assert found[:2] == pytest.approx(predicted(FOLLOWING)[:2])


def test_a_changed_image_is_shown_to_what_was_fitted_to_unchanged_ones() -> None:
    moved = out_of_fold([FOLLOWING], TRUTH, PATIENTS, [FOLLOWING + np.array([1, 0])])

    assert (moved > predicted(FOLLOWING)).all()


def test_what_lies_beside_the_lungs_is_not_averaged() -> None:
    images = RANDOM.integers(0, 256, (2, 176, 176, 1), np.uint8)
    masks = np.zeros((2, 176, 176), bool)
    masks[:, :40, :40] = True
    beside = images.copy()
    beside[:, 140:] = 0

    assert gray(beside, masks) == pytest.approx(gray(images, masks))
    keras.utils.set_random_seed(0)
    several = np.concatenate([images, beside, 255 - images])
    first, *_ = lung_features(several, np.tile(masks, (3, 1, 1)), "none")
    assert first.shape == (6, 144)
    # The first layer sees no farther than from the lungs to what was changed.
    assert first[2:4] == pytest.approx(first[:2])
    assert first[4:] != pytest.approx(first[:2])


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


def test_radiographs_without_lungs_are_left_out(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=10)

    def lungs_but_of_the_first(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        masks = np.ones(images.shape[:3], bool)
        masks[0] = False
        return masks

    found = measure_severity(home, "none", lungs_but_of_the_first)

    assert {metric.images for metric in found} == {4}
    assert [metric.name for metric in found] == [
        f"{score} from {name}, {shown}"
        for score in ("extent", "opacity")
        for name in ("features", "gray")
        for shown in ("as it is", "tones mixed")
    ]
