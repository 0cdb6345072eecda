"""evaluation.json: how well a model does on one split, with intervals."""

from pydantic import BaseModel, ConfigDict

from contract.findings import Label
from contract.manifest import Metric


class Evaluation(BaseModel):
    """The figures of one split; the two-sided ones speak of ``positive`` against the rest.

    ``metrics`` holds the measured figures, and behind them those of the honesty checks, as soon as
    there is a report. ``confusion`` counts images by their true class (rows) and their most
    probable one (columns), both in output order; ``answers`` by their true class and the answer,
    with "refer" as the last column. The operating points are those of calibration.json, read,
    never chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    split: str
    data_digest: str
    images: int
    patients: int
    unreadable: int
    positive: Label | None
    metrics: tuple[Metric, ...]
    classes: tuple[Label, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    answers: tuple[tuple[int, ...], ...] = ()
