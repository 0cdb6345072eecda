from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.lung_data import TINY_SEGMENTER, tiny_segmenter
from training.errors import RecipeError
from training.lungs.recipe import read_segmenter_recipe


def test_the_shipped_recipe_is_valid() -> None:
    recipe = read_segmenter_recipe()

    assert recipe.name == "lungs"
    assert recipe.split.test_share is not None


def test_a_recipe_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TINY_SEGMENTER)

    assert read_segmenter_recipe(path) == tiny_segmenter()


@pytest.mark.parametrize("content", [b"name = ", b"name = 'lungs'", b"\xff"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)

    with pytest.raises(RecipeError, match=r"mine\.toml"):
        read_segmenter_recipe(path)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_segmenter_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("preprocessing", {"height": 40}, "multiples of 16"),
        ("split", {"test_share": None}, "test_share is missing"),
        ("augmentation", {"mixup_alpha": 0.2}, "mixup_alpha must be 0"),
        ("training", {"warmup_epochs": 2}, "warmup_epochs must be less"),
        ("training", {"batch_size": 9}, "batch_size must not exceed"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(
    part: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_segmenter(**{part: changes})


def test_an_epoch_has_whole_batches_only() -> None:
    assert tiny_segmenter(training={"images_per_epoch": 11}).training.steps_per_epoch == 2
