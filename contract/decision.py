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


class Evidence(BaseModel):
    """Which source of the training an image is most like, and what the model was shown to do there.

    ``distance`` is a share of the source's limit. Of the source, ``findings`` are those told apart,
    and ``calls`` counts the held-out images answered with each, and how many of them had it.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    distance: float
    findings: tuple[Label, ...]
    calls: dict[Label, tuple[int, int]]

    def supports(self, label: Label) -> bool:
        """Whether the image lies within the source, and the finding is told apart there."""
        return self.distance <= 1 and label in self.findings

    def sentence(self, label: Label) -> str:
        """What an answer with this finding would rest on, or why there is none."""
        if not self.distance <= 1:
            return f"Like no images that the model was measured on; nearest are {self.source}'s."
        if not self.findings:
            return f"Like images of {self.source}: not shown to tell its findings apart there."
        if label not in self.findings:
            shown = " and ".join(self.findings)
            return f"Like images of {self.source}: shown to tell {shown} apart there, not {label}."
        called, right = self.calls[label]
        return (
            f"Like images of {self.source}: of {called} held-out images called {label}, "
            f"{right} were."
        )


class Decision(BaseModel):
    """What the model says of one image; where ``label`` is None it is referred for ``reasons``."""

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
    evidence: Evidence | None = None,
    evidenced: bool = True,
) -> Decision:
    """Answer with the most probable finding where it, and no other, reaches its operating point.

    Everything else is referred, and so is every image that is poor, unlike the training images, or
    like images among which the model was not shown to tell that finding. ``probabilities`` are
    calibrated, 0 to 1, and are compared with the points in single precision, their own.
    """
    present = tuple(
        bool(np.float32(p) >= np.float32(t))
        for p, t in zip(probabilities, operating_points, strict=True)
    )
    failed = quality.failed if quality else ()
    reasons = tuple(cast("Reason", f"quality.{check.name}") for check in failed)
    if out_of_distribution and not out_of_distribution.accepted:
        reasons += ("out_of_distribution",)
    most_probable = labels[int(np.argmax(probabilities))]
    if not evidenced or not (evidence is None or evidence.supports(most_probable)):
        reasons += ("no_evidence",)
    if sum(present) != 1 or probabilities[present.index(True)] < max(probabilities):
        reasons += ("uncertain",)
    label = None if reasons else labels[present.index(True)]
    return Decision(present=present, label=label, reasons=reasons)
