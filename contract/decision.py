"""The one rule that turns calibrated probabilities into an answer, or into "refer"."""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.findings import Label
from contract.quality import Quality

Reason = Literal[
    "uncertain",
    "out_of_distribution",
    "no_evidence",
    "quality.exposure",
    "quality.contrast",
    "quality.sharpness",
    "quality.noise",
    "quality.clipping",
    "quality.collimation",
    "quality.aspect",
    "quality.resolution",
    "quality.inversion",
    "quality.rotation",
    "quality.framing",
    "quality.lung_field",
]


class OodResult(BaseModel):
    """How far an image is from those that the model was trained on; less is nearer."""

    model_config = ConfigDict(frozen=True)

    score: float
    limit: float

    @property
    def accepted(self) -> bool:
        """Whether the score is at most the limit; a score that is no number is not."""
        return self.score <= self.limit


class Decision(BaseModel):
    """What the model says of one image.

    ``label`` is None where the image is referred to a person; ``reasons`` then says why.
    """

    model_config = ConfigDict(frozen=True)

    present: tuple[bool, ...]
    label: Label | None
    reasons: tuple[Reason, ...] = ()


def decide(
    labels: Sequence[Label],
    probabilities: Sequence[float],
    operating_points: Sequence[float],
    *,
    quality: Quality | None = None,
    out_of_distribution: OodResult | None = None,
    evidenced: bool = True,
) -> Decision:
    """Answer with the most probable finding where it, and no other, reaches its operating point.

    Everything else is referred, and so is every image that is poor or unlike the training images.

    The operating points may leave a gap between two findings (neither is met) or overlap (both
    are met); either way the model has not made up its mind, and a person should. On an image that
    cannot be read, or that is unlike all it was trained on, what it says means nothing.

    ``probabilities``: calibrated, 0 to 1, in the same order. ``operating_points``: the least
    probability at which each finding counts as present. They are compared in single precision, the
    precision of the probabilities.
    """
    present = tuple(
        bool(np.float32(p) >= np.float32(t))
        for p, t in zip(probabilities, operating_points, strict=True)
    )
    failed = quality.failed if quality else ()
    reasons = tuple(cast("Reason", f"quality.{check.name}") for check in failed)
    if out_of_distribution and not out_of_distribution.accepted:
        reasons += ("out_of_distribution",)
    if not evidenced:
        reasons += ("no_evidence",)
    if sum(present) != 1 or probabilities[present.index(True)] < max(probabilities):
        reasons += ("uncertain",)
    label = None if reasons else labels[present.index(True)]
    return Decision(present=present, label=label, reasons=reasons)
