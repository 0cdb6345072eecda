import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from tests.training_data import TINY_RECIPE, tiny_recipe, write_kermany
from training.errors import RecipeError, TrainingDiverged
from training.lab.compare import Split, choose_candidates, compare
from training.workdir import load_trained

NARROW = TINY_RECIPE.replace('"tiny"', '"narrow"').replace("width = 4", "width = 2")


@dataclass(frozen=True)
class Run:
    """A comparison, and where it lies."""

    data: Path
    workdir: Path
    narrow: str
    table: pd.DataFrame

    def again(self, split: Split = "validation") -> pd.DataFrame:
        quiet = Console(file=io.StringIO())
        return compare(tiny_recipe(), self.data, self.workdir, [self.narrow], quiet, split)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The test folder is not there: nothing can have looked at it."""
    root, workdir = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("compared")
    write_kermany(root, "train", images_per_class=24)
    (root / "narrow.toml").write_text(NARROW)
    narrow, quiet = str(root / "narrow.toml"), Console(file=io.StringIO())
    return Run(root, workdir, narrow, compare(tiny_recipe(), root, workdir, [narrow], quiet))


def test_candidates_are_ranked_by_the_validation_split_alone(run: Run) -> None:
    table = run.table.set_index("candidate")

    assert set(table.index) == {"tiny", "narrow"}
    assert table["validation_auroc"].is_monotonic_decreasing
    assert (table["validation_auroc_lower"] <= table["validation_auroc"]).all()
    assert not any(column.startswith("test") for column in table)
    model = load_trained(run.workdir / "tiny").model
    assert table.loc["tiny", "parameters"] == model.count_params()
    written = pd.read_csv(run.workdir / "comparison.csv")
    assert written["candidate"].tolist() == run.table["candidate"].tolist()
    # All meet the same split, and the images are decoded once.
    splits = [pd.read_csv(path)[["path", "split"]] for path in run.workdir.rglob("split.csv")]
    assert len(splits) == 3
    assert all(split.equals(splits[0]) for split in splits)
    assert (run.workdir / "tiny" / "cache").resolve() == run.workdir / "cache"


def test_a_second_comparison_trains_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.train.fit_classifier", None)

    pd.testing.assert_frame_equal(run.again(), run.table)


def test_the_test_split_is_shown_beside_and_chooses_nothing(run: Run) -> None:
    write_kermany(run.data, "test", images_per_class=10, seed=500)

    table = run.again(split="test")

    assert table["validation_auroc"].is_monotonic_decreasing
    assert (table["test_auroc_lower"] <= table["test_auroc"]).all()
    # The narrow network learns nothing in two epochs.
    assert table.set_index("candidate").loc["tiny", "test_auroc"] > 0.5


def test_a_network_that_diverges_is_told_and_the_others_are_compared(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def diverge(*_: object) -> None:
        raise TrainingDiverged("The loss is no longer a number in epoch 1.")

    monkeypatch.setattr("training.lab.compare.train", diverge)
    wide = tmp_path / "wide.toml"
    wide.write_text(TINY_RECIPE.replace('"tiny"', '"wide"').replace("width = 4", "width = 6"))
    quiet = Console(file=io.StringIO())

    table = compare(tiny_recipe(), run.data, run.workdir, [str(wide)], quiet)

    assert table["candidate"].tolist() == ["tiny", "wide"]
    assert table["note"].iloc[1] == "The loss is no longer a number in epoch 1."


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["resnet5000"], "There is no recipe 'resnet5000'"),
        (["twin.toml", "other.toml"], "other data or splits"),
        (["twin.toml", "again.toml"], "Two candidates are called twin"),
        (["wide.toml"], "model.border"),
    ],
)
def test_candidates_that_cannot_be_compared_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], message: str
) -> None:
    twin = TINY_RECIPE.replace('name = "tiny"', 'name = "twin"')
    recipes = {
        "other.toml": NARROW.replace("validation_share = 0.25", "validation_share = 0.3"),
        "twin.toml": twin,
        "again.toml": twin.replace("dropout = 0.1", "dropout = 0.2"),
        "wide.toml": TINY_RECIPE.replace('name = "tiny"', 'name = "wide"').replace(
            "dropout", "border = 3\ndropout"
        ),
    }
    for name, text in recipes.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RecipeError, match=message):
        choose_candidates(tiny_recipe(), names)
