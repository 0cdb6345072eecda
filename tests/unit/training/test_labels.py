from pathlib import Path

import pandas as pd
import pytest

from training.datasets import Dataset, check_labels, data_digest
from training.errors import DataError

CLASSES = ("normal", "pneumonia")


def table(*labels: str) -> pd.DataFrame:
    return pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels})


def test_labels_that_are_the_recipes_classes_pass() -> None:
    check_labels(table("pneumonia", "normal"), CLASSES, "The train split")


def test_a_label_that_the_recipe_lacks_is_named() -> None:
    with pytest.raises(DataError, match="The train split has the label tuberculosis"):
        check_labels(table("normal", "pneumonia", "tuberculosis"), CLASSES, "The train split")


def test_a_class_that_a_split_lacks_is_named() -> None:
    with pytest.raises(DataError, match="The validation split has no image of pneumonia"):
        check_labels(table("normal", "normal"), CLASSES, "The validation split")


def test_a_file_that_is_gone_does_not_stop_the_digest(tmp_path: Path) -> None:
    dataset = Dataset("two", "none", tmp_path, table("normal", "pneumonia"))
    (tmp_path / "0.png").write_bytes(b"0")
    (tmp_path / "1.png").write_bytes(b"1")
    whole = data_digest(dataset)

    (tmp_path / "1.png").unlink()

    assert data_digest(dataset) != whole
