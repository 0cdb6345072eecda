from pathlib import Path

import pytest

from tests.training_data import TINY_RECIPE
from training.config import read_recipe
from training.errors import RecipeError


def recipe_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_shipped_recipe_is_read_by_its_name() -> None:
    recipe = read_recipe("xray-pneumonia")

    assert recipe.name == "xray-pneumonia"
    assert recipe.data.classes == ("normal", "pneumonia")


def test_any_other_recipe_is_read_by_its_path(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, TINY_RECIPE))

    assert recipe.preprocessing.size == (32, 32)
    assert recipe.calibration.shifts == ("none",)


def test_an_unknown_recipe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'xray-elbow'.*xray-pneumonia"):
        read_recipe("xray-elbow")


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(RecipeError, match=r"mine\.toml is no valid TOML"):
        read_recipe(str(path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 4", "width = 4\ndepth = 3", r"model\.depth: Extra inputs"),
        ("epochs = 2", "epochs = 0", r"training\.epochs"),
        ("epochs = 2", "epochs = 1", "warmup_epochs must be less than epochs"),
        ('positive = "pneumonia"', 'positive = "covid-19"', "which is no class"),
        ('["normal", "pneumonia"]', '["normal", "normal"]', "a class stands twice"),
        ('label = "normal"\nrule', 'label = "pneumonia"\nrule', "name every class exactly once"),
        ("[training]", '[calibration]\nshifts = ["upside-down"]\n[training]', "no such shift"),
        ("seed = 3", "seed = ", "no valid TOML"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TINY_RECIPE

    with pytest.raises(RecipeError, match=message):
        read_recipe(recipe_file(tmp_path, TINY_RECIPE.replace(old, new)))
