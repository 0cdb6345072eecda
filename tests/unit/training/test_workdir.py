import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bundles import PROVENANCE
from tests.training_data import CALIBRATION, tiny_recipe
from training.atomic import atomic_path, write_text
from training.errors import WorkdirIncomplete, WorkdirMismatch, WriteFailed
from training.models import build_classifier
from training.workdir import Workdir, framework, git_revision, load_trained


def write_half(target: Path) -> None:
    with atomic_path(target) as draft:
        draft.write_bytes(b"half")
        raise KeyboardInterrupt


def test_a_finished_training_is_read_as_it_was_written(tmp_path: Path) -> None:
    recipe, work = tiny_recipe(), Workdir(tmp_path / "run")
    model = build_classifier(recipe)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)
    work.bind(recipe, "sha256:1")
    work.write_calibration(CALIBRATION)
    work.finish(model, PROVENANCE)

    trained = load_trained(tmp_path / "run")

    assert trained.config == recipe
    assert trained.calibration == CALIBRATION
    assert trained.provenance == PROVENANCE
    assert trained.evaluation is None
    np.testing.assert_allclose(trained.model(images), model(images), atol=1e-6)
    served = trained.serving_model()(images)
    margin = np.diff(np.log(np.asarray(served["probabilities"])), axis=1)
    np.testing.assert_allclose(
        margin, np.diff(np.asarray(served["logits"]), axis=1) / 1.5, atol=1e-4
    )


def test_a_workdir_belongs_to_one_recipe_and_one_data_set(tmp_path: Path) -> None:
    work = Workdir(tmp_path)
    work.bind(tiny_recipe(), "sha256:1")
    work.bind(tiny_recipe(), "sha256:1")

    with pytest.raises(WorkdirMismatch, match="another recipe"):
        work.bind(tiny_recipe(model={"width": 5}), "sha256:1")
    with pytest.raises(WorkdirMismatch, match="other data"):
        work.bind(tiny_recipe(), "sha256:2")


def test_an_evaluation_does_not_outlive_its_calibration(tmp_path: Path) -> None:
    work = Workdir(tmp_path)
    work.write_calibration(CALIBRATION)
    work.evaluation("test").write_text("{}")
    work.write_calibration(CALIBRATION)
    kept = work.evaluation("test").exists()

    work.write_calibration(CALIBRATION.model_copy(update={"temperature": 2.0}))

    assert kept
    assert not work.evaluation("test").exists()


def test_what_older_rules_gave_is_gone_before_new_rules_stand(tmp_path: Path) -> None:
    work = Workdir(tmp_path)
    work.bind(tiny_recipe(), "sha256:1")
    work.write_calibration(CALIBRATION)
    work.finish(build_classifier(tiny_recipe()), PROVENANCE)
    (tmp_path / "figures").mkdir()
    left = [work.evaluation("test"), tmp_path / "figures" / "test-roc.png"]
    for file in left:
        file.write_text("{}")

    work.bind(tiny_recipe(calibration={"shifts": ["none", "darker"]}), "sha256:1")

    assert not any(file.exists() for file in left)
    with pytest.raises(WorkdirIncomplete, match=r"calibration\.json"):
        load_trained(tmp_path)


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


def test_a_damaged_file_of_a_workdir_is_named(tmp_path: Path) -> None:
    work = Workdir(tmp_path)
    work.bind(tiny_recipe(), "sha256:1")
    work.write_calibration(CALIBRATION)
    work.finish(build_classifier(tiny_recipe()), PROVENANCE)

    (tmp_path / "calibration.json").write_text('{"temperature": 0}')
    with pytest.raises(WorkdirIncomplete, match=r"calibration\.json is damaged"):
        load_trained(tmp_path)
    (tmp_path / "calibration.json").unlink()
    with pytest.raises(WorkdirIncomplete, match=r"calibration\.json cannot be read"):
        load_trained(tmp_path)
    work.model.write_bytes(b"half of a model")
    with pytest.raises(WorkdirIncomplete, match=r"model\.keras cannot be loaded"):
        load_trained(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_text(target, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(WriteFailed, match=r"state\.json could not be written"):
            write_text(target, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_draft_that_is_broken_off_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    target.write_bytes(b"old")

    with pytest.raises(KeyboardInterrupt):
        write_half(target)

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_framework_is_named_with_its_backend() -> None:
    assert framework().startswith("keras 3")
    assert " on tensorflow 2" in framework()


def test_the_revision_is_a_commit_or_unknown() -> None:
    revision = git_revision().removesuffix("-dirty")

    assert revision == "unknown" or (len(revision) == 40 and int(revision, 16) >= 0)
