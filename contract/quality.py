"""Whether an image is good enough to be read, and what to do where it is not.

Each check is a number with the limits that the manifest gives it, and a sentence for the person who
can take the image again. A model without limits accepts every image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract import quality_measures as measures
from contract.position import Templates

CheckName = Literal[
    "exposure",
    "contrast",
    "sharpness",
    "noise",
    "clipping",
    "collimation",
    "aspect",
    "resolution",
    "inversion",
    "rotation",
    "framing",
    "lung_field",
]
Side = Literal["lower", "upper"]

# The order of the output ``quality`` of a graph that measures itself.
MEASURES: tuple[CheckName, ...] = (
    *("exposure", "contrast", "sharpness", "noise", "clipping", "collimation"),
    *("inversion", "rotation", "framing"),
)

# What to do where a value is beyond a limit. A limit on a side without advice does not exist.
ADVICE: Mapping[tuple[CheckName, Side], str] = {
    ("exposure", "lower"): "Too dark. Send it with its own window, or repeat it with the exposure "
    "corrected.",
    (
        "exposure",
        "upper",
    ): "Too bright. Send it with its own window, or repeat it with the exposure corrected.",
    ("contrast", "lower"): "Too flat. Narrow the window, or export it again with all its grays.",
    ("sharpness", "lower"): "Blurred. Send the original; if it is blurred too, repeat it with a "
    "shorter exposure time and held breath.",
    ("noise", "upper"): "Noisy, so underexposed. Repeat it with more exposure.",
    ("clipping", "upper"): "Large parts are pure black or white. Export it again with a wider "
    "window, or repeat it with the exposure corrected.",
    ("collimation", "upper"): "Too much black frame. Crop it to the exposed field, or repeat it "
    "with the whole chest in the field.",
    ("aspect", "lower"): "Too narrow for a whole image. Send it uncropped.",
    ("aspect", "upper"): "Too wide for a whole image. Send it uncropped.",
    ("resolution", "lower"): "Too few pixels. Send the original and no thumbnail.",
    ("inversion", "upper"): "Looks like a negative. Send it with black and white swapped.",
    ("rotation", "upper"): "Looks turned. Send it upright.",
    ("framing", "upper"): "Shows a part of the chest only. Send it uncropped, or repeat it with "
    "both lungs in the field.",
    ("lung_field", "lower"): "A part of the lungs is missing. Send it uncropped, or repeat it with "
    "both lungs in the field, from their tips to the angles at the diaphragm.",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limit(_Frozen):
    """What one check accepts, its ends included; None leaves a side open."""

    check: CheckName
    lower: float | None = Field(default=None, allow_inf_nan=False)
    upper: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _every_limit_has_its_advice(self) -> Self:
        for side in get_args(Side):
            if getattr(self, side) is not None and (self.check, side) not in ADVICE:
                raise ValueError(f"{self.check} has no {side} limit")
        return self


class QualityLimits(_Frozen):
    """What a model accepts. Only the checks that have a limit are made."""

    limits: tuple[Limit, ...]
    position: Templates | None = None

    @model_validator(mode="after")
    def _every_check_can_be_made_once(self) -> Self:
        names = [limit.check for limit in self.limits]
        if len(set(names)) != len(names):
            raise ValueError("a check stands twice in limits")
        if "lung_field" in names:
            raise ValueError("the limit of lung_field stands in the segmenter's manifest")
        known = self.position.faults if self.position else frozenset()
        if missing := {"inversion", "rotation", "framing"} & set(names) - known:
            raise ValueError(f"position has no template for {', '.join(sorted(missing))}")
        return self


class Check(NamedTuple):
    """One check of one image; ``advice`` says what to do where it was not passed."""

    name: CheckName
    value: float
    lower: float | None
    upper: float | None
    advice: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the value lies within its limits."""
        return self.advice is None


@dataclass(frozen=True, slots=True)
class Quality:
    """All checks of one image, in the order of the limits."""

    checks: tuple[Check, ...]

    @property
    def accepted(self) -> bool:
        """Whether every check was passed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if not check.passed)


def assess(image: NDArray[np.uint8], rows: int, columns: int, limits: QualityLimits) -> Quality:
    """Check an image that was fitted to its model.

    Args:
        image: uint8, shape (height, width, 1): what the model sees, at least 8 by 8.
        rows: Of the radiograph itself, as its file says.
        columns: As ``rows``.
        limits: Of the model.
    """
    values = measure(image[..., 0], rows, columns, limits.position)
    return Quality(checks=tuple(checked(limit, values[limit.check]) for limit in limits.limits))


def judge(
    measures: Sequence[float] | NDArray[np.floating], rows: int, columns: int, limits: QualityLimits
) -> Quality:
    """Hold what was measured by the graph against the limits.

    Args:
        measures: In the order of ``MEASURES``.
        rows: Of the radiograph itself, as its file says.
        columns: As ``rows``.
        limits: Of the model.
    """
    values = dict(zip(MEASURES, map(float, measures), strict=True))
    values |= {"aspect": columns / rows, "resolution": float(min(rows, columns))}
    return Quality(checks=tuple(checked(limit, values[limit.check]) for limit in limits.limits))


def measure(
    image: NDArray[np.uint8], rows: int, columns: int, position: Templates | None
) -> dict[CheckName, float]:
    """Measure all that can be checked without knowing the lungs; position only with templates.

    Args:
        image: uint8, shape (height, width), at least 8 by 8.
        rows: Of the radiograph itself, as its file says.
        columns: As ``rows``.
        position: Of the model.
    """
    inside = measures.inside(image)
    grays, changes = measures.grays(inside), measures.changes(inside)
    contrast = measures.contrast(grays)
    values: dict[CheckName, float] = {
        "exposure": measures.exposure(grays),
        "contrast": contrast,
        "sharpness": measures.sharpness(changes),
        "noise": measures.noise(changes, contrast),
        "clipping": measures.clipping(grays),
        "collimation": measures.collimation(image),
        "aspect": columns / rows,
        "resolution": float(min(rows, columns)),
    }
    return values | position.probabilities(image) if position else values


def checked(limit: Limit, value: float) -> Check:
    """Hold a value against its limits; a value that is no number is beyond them."""
    lower, upper = limit.lower, limit.upper
    side: Side | None = None
    if lower is not None and not value >= lower:
        side = "lower"
    elif upper is not None and not value <= upper:
        side = "upper"
    advice = ADVICE[limit.check, side] if side else None
    return Check(limit.check, value, lower, upper, advice)
