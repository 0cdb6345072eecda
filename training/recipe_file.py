"""A recipe written as TOML, for ``read_recipe`` and for people."""

from pathlib import Path

import tomli_w

from training.atomic import write_text
from training.config import Recipe


def write_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Write a recipe with every value, also those that it leaves to their defaults.

    Args:
        path: The file.
        recipe: What to write; ``read_recipe`` reads an equal one.
        comment: What stands above it, without the ``#``.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    content = recipe.model_dump(mode="json", exclude_none=True)
    write_text(path, lines + tomli_w.dumps(content))
