from pathlib import Path

import keras
import pytest

from tests.bundles import PROVENANCE
from tests.lung_data import tiny_segmenter
from tests.training_data import tiny_recipe, write_kermany
from training.errors import CalibrationError, WorkdirIncomplete
from training.lungs import field
from training.lungs.field import DOUBT, fit_lung_field
from training.lungs.workdir import LungWorkdir

RECIPE = tiny_recipe()
SEGMENTER = tiny_segmenter()


def sees_what_is_dark(folder: Path) -> LungWorkdir:
    """A finished training whose network takes what is dark for lung."""
    size = SEGMENTER.preprocessing.size
    image = keras.layers.Input((*size, 1), dtype="uint8", name="image")
    logits = 50.0 - keras.ops.cast(image, "float32")
    work = LungWorkdir(folder)
    work.bind(SEGMENTER, "none")
    work.finish(keras.Model(image, logits), PROVENANCE)
    return work


@pytest.fixture
def work(tmp_path: Path) -> LungWorkdir:
    return sees_what_is_dark(tmp_path / "work")


def test_the_limits_accept_whole_radiographs_and_travel_with_the_segmenter(
    work: LungWorkdir, tmp_path: Path
) -> None:
    data = write_kermany(tmp_path, "train", 12)
    assert work.load().lung_field is None

    found = fit_lung_field(RECIPE, data, work.root)

    assert found.limits.doubt == DOUBT
    assert found.fitted + found.measured == 24
    assert found.refused < 0.2
    assert min(found.caught.values()) > 0.5
    assert work.load().lung_field == found.limits


def test_the_images_of_one_patient_are_not_enough(
    work: LungWorkdir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_kermany(tmp_path, "train", 2)
    monkeypatch.setattr(field, "IMAGES_PER_SOURCE", 1)

    with pytest.raises(CalibrationError, match="at least two patients"):
        fit_lung_field(RECIPE, data, work.root)

    assert not work.lung_field.exists()


def test_without_a_training_there_is_nothing_to_fit_for(tmp_path: Path) -> None:
    with pytest.raises(WorkdirIncomplete):
        fit_lung_field(RECIPE, tmp_path, tmp_path / "none")
