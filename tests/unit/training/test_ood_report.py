import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synthetic import synthetic_radiograph
from tests.training_data import tiny_recipe
from training.config import Recipe
from training.models import build_classifier
from training.ood.fit import fit_scorer
from training.ood.methods import METHODS
from training.ood_report import Detection, Known, measure_unfamiliar

SIDE = 32


def radiographs(count: int, seed: int) -> NDArray[np.uint8]:
    planes = [synthetic_radiograph(SIDE, SIDE, n % 2, seed + n) for n in range(count)]
    return np.stack(planes)[..., np.newaxis]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tiny_recipe(calibration={"shifts": ["none", "brighter"]})


@pytest.fixture(scope="module")
def rows(recipe: Recipe) -> tuple[Detection, ...]:
    keras.utils.set_random_seed(0)
    model = build_classifier(recipe)
    known = Known(radiographs(140, seed=0), np.arange(140) % 2, np.arange(80), np.arange(80, 140))
    noise = np.random.default_rng(0).integers(0, 256, (20, SIDE, SIDE, 1), dtype=np.uint8)
    return measure_unfamiliar(
        model,
        fit_scorer(model, known.images, known.training, recipe),
        known,
        recipe,
        unfamiliar={"noise": noise, "upside down": radiographs(5, seed=300)[:, ::-1]},
        familiar={"test": radiographs(40, seed=400)},
    )


def test_every_method_has_a_row_for_every_kind(rows: tuple[Detection, ...]) -> None:
    methods = ["served", *METHODS]
    kinds = ["all unfamiliar", "noise", "upside down", "test"]

    assert [(row.method, row.kind) for row in rows] == [(m, k) for m in methods for k in kinds]
    assert {row.kind: row.images for row in rows} == dict(zip(kinds, (25, 20, 5, 40), strict=True))
    assert {row.kind for row in rows if row.familiar} == {"test"}


def test_what_is_served_catches_strange_images_and_accepts_radiographs(
    rows: tuple[Detection, ...],
) -> None:
    served = {row.kind: row for row in rows if row.method == "served"}

    assert served["all unfamiliar"].caught == 1
    assert served["all unfamiliar"].auroc > 0.99
    assert served["test"].caught < 0.1


def test_the_interval_of_a_few_images_is_wide(rows: tuple[Detection, ...]) -> None:
    served = {row.kind: row for row in rows if row.method == "served"}

    assert served["upside down"].lower == pytest.approx(0.566, abs=1e-3)
    assert served["noise"].lower == pytest.approx(0.839, abs=1e-3)
    assert served["upside down"].upper == 1
