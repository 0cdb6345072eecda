"""The one rule that turns calibrated probabilities into an answer, or into "refer"."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.findings import Label

Reason = Literal["uncertain"]


class Decision(BaseModel):
    """What the model says of one image.

    ``label`` is None where the image is referred to a person; ``reasons`` then says why.
    """

    model_config = ConfigDict(frozen=True)

    present: tuple[bool, ...]
    label: Label | None
    reasons: tuple[Reason, ...] = ()


def decide(
    labels: Sequence[Label], probabilities: Sequence[float], operating_points: Sequence[float]
) -> Decision:
    """Answer where exactly one operating point is met, refer everywhere else.

    The operating points may leave a gap between two findings (neither is met) or overlap (both
    are met); either way the model has not made up its mind, and a person should.

    Args:
        labels: One per class, in the model's output order.
        probabilities: Calibrated, 0 to 1, in the same order.
        operating_points: The least probability at which each finding counts as present.
            They are compared in single precision, the precision of the probabilities.
    """
    present = tuple(
        bool(np.float32(p) >= np.float32(t))
        for p, t in zip(probabilities, operating_points, strict=True)
    )
    if sum(present) == 1:
        return Decision(present=present, label=labels[present.index(True)])
    return Decision(present=present, label=None, reasons=("uncertain",))
