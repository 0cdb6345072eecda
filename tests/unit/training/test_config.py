from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from tests.lung_data import tiny_segmenter
from tests.training_data import TINY_RECIPE, tiny_recipe
from training.config import ShiftName, read_recipe, read_segmenter_recipe, write_recipe
from training.errors import RecipeError
from training.transforms import ACQUISITION_SHIFTS


def recipe_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 4", "width = 4\ndepth = 3", r"model\.depth: Extra inputs"),
        ("batch_size", "batchsize", r"training\.batchsize: .* \(is batch_size meant\?\)"),
        ("epochs = 2", "epochs = 0", r"training\.epochs"),
        ("epochs = 2", "epochs = 1", "warmup_epochs must be less than epochs"),
        ('positive = "pneumonia"', 'positive = "covid-19"', "which is no class"),
        ('["normal", "pneumonia"]', '["normal", "normal"]', "a class stands twice"),
        ('label = "normal"\nrule', 'label = "pneumonia"\nrule', "name every class exactly once"),
        (
            "[training]",
            '[calibration]\nshifts = ["upside-down"]\n[training]',
            r"calibration\.shifts\.0: Input should be",
        ),
        ("seed = 3", "seed = ", r"mine\.toml is no valid TOML"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TINY_RECIPE

    with pytest.raises(RecipeError, match=message):
        read_recipe(recipe_file(tmp_path, TINY_RECIPE.replace(old, new)))


def test_a_recipe_is_read_as_it_was_written(tmp_path: Path) -> None:
    recipe = tiny_recipe(model={"width": 5})

    write_recipe(tmp_path / "mine.toml", recipe, "Mine.\nAll of it.")

    assert read_recipe(str(tmp_path / "mine.toml")) == recipe
    text = (tmp_path / "mine.toml").read_text()
    (tmp_path / "marked.toml").write_text(text, encoding="utf-8-sig")
    assert read_recipe(str(tmp_path / "marked.toml")) == recipe
    assert recipe.calibration.shifts == ("none",)
    assert (tmp_path / "mine.toml").read_text().startswith("# Mine.\n# All of it.\n")


def test_every_shift_of_the_recipes_is_an_acquisition_shift_and_the_reverse() -> None:
    assert list(get_args(ShiftName)) == list(ACQUISITION_SHIFTS)


@pytest.mark.parametrize("content", [b"name = 'lungs'", b"\xff", None])
def test_a_file_that_is_no_segmenter_recipe_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)

    assert read_segmenter_recipe().name == "lungs"
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        read_segmenter_recipe(path)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("preprocessing", {"height": 40}, "multiples of 16"),
        ("split", {"test_share": None}, "test_share is missing"),
        ("training", {"warmup_epochs": 2}, "warmup_epochs must be less"),
    ],
)
def test_values_of_the_segmenter_that_do_not_fit_together_are_refused(
    part: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_segmenter(**{part: changes})
