import io
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from contract.manifest import LUNG_MASK
from tests.bundles import PROVENANCE
from tests.lung_data import synthetic_lungs, tiny_segmenter, write_covid_chestxray
from tests.synthetic import synthetic_radiograph
from tests.training_data import tiny_recipe, write_kermany
from training import lungs
from training.errors import CalibrationError, DataError, WorkdirMismatch
from training.lungs import (
    DOUBT,
    build_segmenter,
    dice,
    evaluate_lungs,
    fit_lung_field,
    list_lung_images,
    load_lung_images,
    load_segment,
    load_segmenter,
    overlap_loss,
    read_mask,
    train_lungs,
    with_mask_output,
)
from training.workdir import Workdir

RECIPE = tiny_segmenter()
CLASSIFIER = tiny_recipe()
SPEC = RECIPE.preprocessing
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 1), dtype=np.uint8)


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_covid_chestxray(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def workdir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workdir")
    train_lungs(RECIPE, folder, data, quiet())
    return folder


def test_a_training_leaves_its_split_its_history_and_its_model(workdir: Path) -> None:
    splits = pd.read_csv(workdir / "split.csv")["split"].value_counts()
    history = pd.read_csv(workdir / "history.csv")
    trained = load_segmenter(workdir)

    assert dict(splits) == {"train": 4, "test": 3, "validation": 1}
    assert list(history["epoch"]) == [1, 2]
    assert np.isfinite(history["loss"]).all()
    assert trained.recipe == RECIPE
    assert trained.evaluation is None
    assert trained.provenance.training_images == 4
    chests = np.stack([synthetic_radiograph(50, 60, seed=seed) for seed in range(2)])
    masks = load_segment(workdir)(chests[..., np.newaxis])
    assert masks.shape == (2, 50, 60)
    assert masks.dtype == np.bool_


def test_the_held_out_patients_are_measured_one_by_one(data: Path, workdir: Path) -> None:
    evaluation = evaluate_lungs(data, workdir)

    table = pd.read_csv(workdir / "dice-test.csv")
    figures = {metric.name: metric for metric in evaluation.metrics}
    assert evaluation.images == evaluation.patients == len(table) == 3
    assert figures["dice_median"].value == pytest.approx(table["dice"].median())
    assert figures["dice_lowest_tenth"].value < figures["dice_median"].value
    assert figures["dice_mean"].lower <= figures["dice_mean"].value <= figures["dice_mean"].upper
    assert load_segmenter(workdir).evaluation == evaluation


def test_other_images_than_those_of_the_training_are_not_measured(
    workdir: Path, tmp_path: Path
) -> None:
    other = write_covid_chestxray(tmp_path, patients=5)

    with pytest.raises(WorkdirMismatch, match="digest differs"):
        evaluate_lungs(other, workdir)


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    """A finished training whose network takes what is dark for lung."""
    image = keras.layers.Input((*SPEC.size, 1), dtype="uint8", name="image")
    logits = 50.0 - keras.ops.cast(image, "float32")
    work = Workdir(tmp_path / "work")
    work.bind(RECIPE, "none")
    work.finish(keras.Model(image, logits), PROVENANCE)
    return work


def test_the_limits_accept_whole_radiographs_and_travel_with_the_segmenter(
    work: Workdir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_kermany(tmp_path, "train", 12)
    with monkeypatch.context() as patched:
        patched.setattr(lungs, "IMAGES_PER_SOURCE", 1)
        with pytest.raises(CalibrationError, match="at least two patients"):
            fit_lung_field(CLASSIFIER, data, work.root)
    assert load_segmenter(work.root).lung_field is None

    found = fit_lung_field(CLASSIFIER, data, work.root)

    assert found.limits.doubt == DOUBT
    assert found.fitted + found.measured == 24
    assert found.refused < 0.2
    assert min(found.caught.values()) > 0.5
    assert load_segmenter(work.root).lung_field == found.limits


def test_exposure_hardly_changes_the_mask() -> None:
    model = with_mask_output(build_segmenter(tiny_segmenter(preprocessing={"width": 48})))
    chests = IMAGES // 2

    bright, dark = (np.asarray(model(grays)[LUNG_MASK]) for grays in (chests + 100, chests))

    assert bright.shape == (3, 32, 48, 1)
    assert 0 <= bright.min() < bright.max() <= 1
    np.testing.assert_allclose(bright, dark, atol=1e-3)


def test_the_loss_is_least_where_the_mask_is_right() -> None:
    truth = np.zeros((2, 4, 4, 1), np.float32)
    truth[:, :2] = 1
    sure = (truth * 2 - 1) * 20

    right, unsure, wrong = (np.asarray(overlap_loss(truth, x)) for x in (sure, 0 * sure, -sure))

    assert right.shape == (2,)
    assert right == pytest.approx([0, 0], abs=1e-3)
    assert (right < unsure).all()
    assert (unsure < wrong).all()


@pytest.mark.parametrize(
    ("found", "value"),
    [([1, 1, 0, 0], 1), ([0, 1, 1, 0], 0.5), ([0, 0, 1, 1], 0), ([1, 0, 0, 0], 2 / 3)],
)
def test_dice_counts_what_two_masks_share(found: list[int], value: float) -> None:
    truth = np.array([[1, 1, 0, 0]], bool)

    assert dice(np.array([found], bool), truth) == pytest.approx(value)
    assert dice(truth & False, truth & False) == 1


def test_every_radiograph_with_a_mask_is_listed(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=3)
    (home / "lung_masks" / "chest-1.png").unlink()

    dataset, digest = list_lung_images(tmp_path)

    assert list(dataset.table["path"]) == ["images/chest-0.png", "images/chest-2.png"]
    assert list(dataset.table["mask"]) == ["lung_masks/chest-0.png", "lung_masks/chest-2.png"]
    assert list(dataset.table.index) == [0, 1]
    # Another mask is another data set.
    shutil.copy(home / "images" / "chest-0.png", home / "lung_masks" / "chest-0.png")
    assert list_lung_images(tmp_path)[1] != digest
    shutil.rmtree(home / "lung_masks")
    with pytest.raises(DataError, match="v7labs/covid-19-xray-dataset"):
        list_lung_images(home)


def test_images_and_masks_are_fitted_to_the_network(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, 2)
    # What is marked beside the lungs is no lung.
    assert np.array_equal(read_mask(home / "lung_masks" / "chest-0.png"), synthetic_lungs())

    _, images, masks = load_lung_images(list_lung_images(home)[0], SPEC, quiet())

    assert images.shape == masks.shape == (2, 32, 32, 1)
    assert images.dtype == masks.dtype == np.uint8
    assert (masks / 255).mean() == pytest.approx(synthetic_lungs().mean(), abs=0.02)


def test_what_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    home = write_covid_chestxray(tmp_path, patients=3)
    (home / "images" / "chest-0.png").write_bytes(b"not an image")
    dataset, told = list_lung_images(home)[0], io.StringIO()

    table, images, masks = load_lung_images(dataset, SPEC, Console(file=told, width=200))

    assert "images/chest-0.png is left out: " in told.getvalue()
    assert list(table["path"]) == ["images/chest-1.png", "images/chest-2.png"]
    assert list(table.index) == [0, 1]
    assert len(images) == len(masks) == 2
    for mask in (home / "lung_masks").iterdir():
        mask.write_bytes(b"not an image")
    with pytest.raises(DataError, match="None of the 3"):
        load_lung_images(dataset, SPEC, quiet())


@pytest.mark.data
def test_the_real_masks_are_of_adults_seen_from_the_front(data_dir: Path) -> None:
    dataset, _ = list_lung_images(data_dir)

    assert len(dataset.table) == 116
    shares = [read_mask(dataset.root / mask).mean() for mask in dataset.table["mask"][:20]]
    assert min(shares) > 0.15
    assert max(shares) < 0.7
