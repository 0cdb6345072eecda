"""evaluation.json: how well a model does on one split, with intervals."""

from pydantic import BaseModel, ConfigDict

from contract.findings import Label
from contract.manifest import Metric


class Evaluation(BaseModel):
    """The figures of one split, of the finding ``positive`` against the rest.

    The operating points are those of calibration.json, read, never chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    split: str
    data_digest: str
    images: int
    patients: int
    unreadable: int
    positive: Label
    metrics: tuple[Metric, ...]
