"""Whether both lungs are in the picture: a check that is made only where another one doubts.

To find the lungs may cost as much as to read the image. The template of ``framing`` costs next to
nothing and suspects nearly every image of a part of the chest, and with them a few whole ones: the
lungs tell the two apart.
"""

from pydantic import BaseModel, ConfigDict, Field

from contract.lungs import Mask, lung_field
from contract.quality import Limit, Quality, checked


class LungFieldLimits(BaseModel):
    """When the lungs are looked for, and how complete they must be.

    ``doubt`` is the value of ``framing`` above which they are; ``lower`` the least
    ``LungField.completeness`` that is accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    doubt: float = Field(ge=0, le=1)
    lower: float = Field(ge=0, le=1)


def is_doubtful(quality: Quality, limits: LungFieldLimits) -> bool:
    """Whether an image may show a part of the chest only."""
    return any(check.name == "framing" and check.value > limits.doubt for check in quality.checks)


def with_lung_field(quality: Quality, mask: Mask, limits: LungFieldLimits) -> Quality:
    """Add the check of the lungs to those of an image.

    ``mask``: Its lungs, bool, shape (rows, columns): from ``lung_mask``.
    """
    limit = Limit(check="lung_field", lower=limits.lower)
    check = checked(limit, lung_field(mask).completeness)
    return Quality(checks=(*quality.checks, check))
