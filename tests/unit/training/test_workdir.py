from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bundles import PROVENANCE
from tests.training_data import CALIBRATION, tiny_recipe
from training.atomic import atomic_path
from training.errors import WorkdirIncomplete, WorkdirMismatch
from training.models import build_classifier
from training.workdir import Workdir, load_trained

MODEL = build_classifier(tiny_recipe())


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    """A finished training."""
    work = Workdir(tmp_path)
    work.bind(tiny_recipe(), "sha256:1")
    work.write_calibration(CALIBRATION)
    work.finish(MODEL, PROVENANCE)
    return work


def test_a_finished_training_is_read_as_it_was_written(work: Workdir) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)

    trained = load_trained(work.root)

    assert (trained.config, trained.calibration) == (tiny_recipe(), CALIBRATION)
    assert (trained.provenance, trained.evaluation) == (PROVENANCE, None)
    np.testing.assert_allclose(trained.model(images), MODEL(images), atol=1e-6)
    served = trained.serving_model()(images)
    margin = np.diff(np.log(np.asarray(served["probabilities"])), axis=1)
    np.testing.assert_allclose(
        margin, np.diff(np.asarray(served["logits"]), axis=1) / 1.5, atol=1e-4
    )


def test_a_workdir_belongs_to_one_recipe_and_one_data_set(work: Workdir) -> None:
    work.bind(tiny_recipe(), "sha256:1")

    with pytest.raises(WorkdirMismatch, match="another recipe"):
        work.bind(tiny_recipe(model={"width": 5}), "sha256:1")
    with pytest.raises(WorkdirMismatch, match="other data"):
        work.bind(tiny_recipe(), "sha256:2")


def test_an_evaluation_outlives_neither_its_calibration_nor_its_rules(work: Workdir) -> None:
    left = [work.evaluation("test"), work.root / "figures" / "test-roc.png"]
    other = CALIBRATION.model_copy(update={"temperature": 2.0})
    harder = tiny_recipe(calibration={"shifts": ["none", "darker"]})
    (work.root / "figures").mkdir()

    def left_after(change: Callable[..., None], *arguments: object) -> list[bool]:
        for file in left:
            file.write_text("{}")
        change(*arguments)
        return [file.exists() for file in left]

    assert left_after(work.write_calibration, CALIBRATION) == [True, True]
    assert left_after(work.write_calibration, other) == [False, False]
    assert left_after(work.bind, harder, "sha256:1") == [False, False]
    with pytest.raises(WorkdirIncomplete, match=r"calibration\.json cannot be read"):
        load_trained(work.root)


def test_a_split_is_kept_by_path(tmp_path: Path) -> None:
    work = Workdir(tmp_path)
    table = pd.DataFrame(
        {"path": ["c", "a", "b"], "label": "normal", "group": "", "split": "train"}, index=[2, 5, 9]
    )
    with pytest.raises(WorkdirIncomplete, match="train first"):
        work.read_split(table)
    written = table.assign(group=["3", "1", "1"], split=["train", "validation", "validation"])
    work.write_table(work.split_table, written[:2])

    kept = work.read_split(table)

    assert kept.index.tolist() == [2, 5]
    assert kept["split"].tolist() == ["train", "validation"]


def test_a_damaged_file_of_a_workdir_is_named(work: Workdir) -> None:
    work.calibration.write_text('{"temperature": 0}')
    with pytest.raises(WorkdirIncomplete, match=r"calibration\.json is damaged"):
        load_trained(work.root)
    work.model.write_bytes(b"half of a model")
    with pytest.raises(WorkdirIncomplete, match=r"model\.keras cannot be loaded"):
        load_trained(work.root)


def write_half(target: Path) -> None:
    with atomic_path(target) as draft:
        draft.write_bytes(b"half")
        raise KeyboardInterrupt


def test_a_draft_that_is_broken_off_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    target.write_bytes(b"old")

    with pytest.raises(KeyboardInterrupt):
        write_half(target)

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
