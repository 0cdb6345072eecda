"""Small trees in upstream layouts: names without content, and sheets."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def touch(home: Path, *names: str) -> None:
    """Make empty files by their paths below ``home``."""
    for name in names:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a sheet as upstream does, in UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(list(rows), columns=list(columns)).to_csv(path, index=False)


def by_path(table: Any, column: str) -> dict[str, str]:
    """One column of a data set's table by the images' paths."""
    return dict(zip(table["path"], table[column], strict=True))
