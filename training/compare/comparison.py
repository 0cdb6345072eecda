"""comparison.json and comparison.csv: the candidates, best first."""

from collections.abc import Iterator
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from contract.findings import Label
from training.compare.scores import Scores
from training.metrics import Estimate

Kind = Literal["network", "classical"]
Figure = Literal["auroc", "sensitivity", "specificity"]
FIGURES: tuple[Figure, ...] = ("auroc", "sensitivity", "specificity")

NOT_MEASURED = "not measured: run pneumo-export measure"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Frozen):
    """One candidate.

    ``parameters`` and ``onnx_bytes`` are of networks alone. ``ms_per_image`` is the median for one
    image on one thread: of a network in ONNX Runtime, of a classical learner in scikit-learn, with
    the description of the image. ``note`` says what is missing, and why.
    """

    name: str
    kind: Kind
    validation: Scores | None = None
    test: Scores | None = None
    parameters: int | None = None
    onnx_bytes: int | None = None
    ms_per_image: float | None = None
    note: str = ""

    @property
    def runtime(self) -> str:
        """What the time was measured in."""
        return "ONNX Runtime" if self.kind == "network" else "scikit-learn"

    def figure(self, split: str, name: Figure) -> Estimate | None:
        """One figure of ``validation`` or ``test``, None where it was not measured."""
        return getattr(self.test if split == "test" else self.validation, name, None)


class Comparison(_Frozen):
    """All candidates on one split.

    ``rows`` fall by their validation AUROC, never by that of the test; those without one come last.
    ``splits`` gives the number of images of each split that was used.
    """

    recipe: str
    dataset: str
    data_digest: str
    classes: tuple[Label, ...]
    positive: Label | None
    splits: dict[str, int]
    rows: tuple[Row, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """The splits with figures: ``validation``, and ``test`` where it was asked for."""
        return tuple(split for split in ("validation", "test") if split in self.splits)

    @property
    def best(self) -> Row | None:
        """The candidate with the highest validation AUROC."""
        return next((row for row in self.rows if row.validation is not None), None)


def ranked(rows: list[Row]) -> tuple[Row, ...]:
    """Put candidates in order, the highest validation AUROC first."""

    def merit(row: Row) -> float:
        return row.validation.auroc.value if row.validation else -1.0

    return tuple(sorted(rows, key=merit, reverse=True))


def as_table(comparison: Comparison) -> pd.DataFrame:
    """One line per candidate, with plain columns."""
    return pd.DataFrame([dict(_cells(row, comparison.measured)) for row in comparison.rows])


def _cells(row: Row, splits: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    yield from (("candidate", row.name), ("kind", row.kind))
    for split in splits:
        for name in FIGURES:
            figure = row.figure(split, name)
            for part in ("value", "lower", "upper"):
                column = f"{split}_{name}" if part == "value" else f"{split}_{name}_{part}"
                yield column, getattr(figure, part, None)
    yield from (
        ("parameters", row.parameters),
        ("onnx_bytes", row.onnx_bytes),
        ("ms_per_image", row.ms_per_image),
        ("ms_per_image_in", row.runtime if row.ms_per_image else None),
        ("note", row.note),
    )
