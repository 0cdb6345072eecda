"""Whether an image is good enough to be read, and what to do where it is not.

Each check is a number with the limits that the manifest gives it, and a sentence for the person who
can take the image again. A model without limits accepts every image. Whether a chest lies upright
and whole in the picture is told by templates that were learned from training images, and from the
same images turned, cut and inverted; they travel in the manifest.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.pixels import resize

Side = Literal["lower", "upper"]
Measure = Literal["exposure", "contrast", "sharpness", "noise", "clipping", "collimation"]
Fault = Literal["inversion", "rotation", "framing"]
CheckName = Literal[Measure, "aspect", "resolution", Fault, "lung_field"]

FAULTS: tuple[Fault, ...] = get_args(Fault)
# The order of ``measure_pixels``, and of the output ``quality`` of a graph that measures itself.
MEASURES: tuple[CheckName, ...] = (*get_args(Measure), *FAULTS)

# What the measures are made of; the graphs that export writes measure the same.
MARGIN = 8
# So many gray levels at both ends count as clipped, since a resize or a JPEG moves them a little.
BLACK_LEVELS, WHITE_LEVELS = 3, 6
FRAME_PARTS = 8
_LEVELS = np.arange(256)

_CORRECT = "Send it with its own window, or repeat it with the exposure corrected."
# What to do where a value is beyond a limit. A limit on a side without advice does not exist.
ADVICE: Mapping[tuple[CheckName, Side], str] = {
    ("exposure", "lower"): f"Too dark. {_CORRECT}",
    ("exposure", "upper"): f"Too bright. {_CORRECT}",
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


class Frozen(BaseModel):
    """What manifests are made of: it cannot be changed, and has no field that is unknown here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Template(Frozen):
    """What speaks for one fault, by weights of the thumbnail's pixels, row by row.

    Two may name the same fault: a chest on its side and one upside down look nothing alike.
    """

    fault: Fault
    bias: float
    weights: tuple[float, ...]


class Templates(Frozen):
    """All templates of a model; ``side`` is the thumbnail's, in pixels."""

    side: int = Field(ge=2, le=64)
    templates: tuple[Template, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _weights_fit_the_thumbnail(self) -> Self:
        if any(len(template.weights) != self.side**2 for template in self.templates):
            raise ValueError("a template has one weight for each pixel of the thumbnail")
        return self

    @property
    def faults(self) -> frozenset[CheckName]:
        """The faults that there is a template for."""
        return frozenset(template.fault for template in self.templates)

    def probabilities(self, image: NDArray[np.uint8]) -> dict[CheckName, float]:
        """How probable each fault is in an image of shape (height, width), 0 to 1.

        What is left to 1 speaks for an image without any.
        """
        weights = np.array([template.weights for template in self.templates])
        biases = np.array([template.bias for template in self.templates])
        # A fault's evidence is relative to a sound image, whose own is therefore 0.
        evidence = np.append(weights @ thumbnail(image, self.side) + biases, 0)
        shares = np.exp(evidence - evidence.max())
        found = dict.fromkeys(self.faults, 0.0)
        for template, share in zip(self.templates, shares / shares.sum(), strict=False):
            found[template.fault] += float(share)
        return found


def thumbnail(image: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Shrink an image, and take its exposure and contrast away.

    The result: float64, shape (side * side,), of mean 0 and variance 1; all 0 of a flat image.
    """
    small = resize(image, (side, side)).ravel().astype(np.float64)
    centred: NDArray[np.float64] = small - small.mean()
    return centred / small.std() if centred.any() else centred


class Limit(Frozen):
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


class QualityLimits(Frozen):
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
        if missing := set(names).intersection(FAULTS) - known:
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


class Quality(NamedTuple):
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
    """Measure what a model sees, uint8 (height, width, 1), and hold it against the limits."""
    return judge(measure_pixels(image[..., 0], limits.position), rows, columns, limits)


def judge(
    measures: Sequence[float] | NDArray[np.floating], rows: int, columns: int, limits: QualityLimits
) -> Quality:
    """Hold what was measured, in the order of ``MEASURES``, against the limits."""
    values = _named(measures, rows, columns)
    return Quality(checks=tuple(checked(limit, values[limit.check]) for limit in limits.limits))


def measure(
    image: NDArray[np.uint8], rows: int, columns: int, position: Templates | None
) -> dict[CheckName, float]:
    """Measure all that can be checked without knowing the lungs; position only with templates."""
    values = _named(measure_pixels(image, position), rows, columns)
    unknown = set(FAULTS) - (position.faults if position else set())
    return {name: value for name, value in values.items() if name not in unknown}


def measure_pixels(
    image: NDArray[np.uint8], position: Templates | None = None
) -> NDArray[np.float64]:
    """Measure what shows in the pixels.

    Markers, tubes and the frame lie in the outer eighth of each side, which all but collimation and
    the faults leave out. ``exposure`` is the mean gray and ``contrast`` the standard deviation, as
    shares of the full range. ``sharpness`` is how much of a change over four pixels happens within
    one of them: a quarter for a ramp, one for white noise. ``noise`` is its standard deviation as a
    share of the contrast. ``clipping`` is the share of black and white pixels, ``collimation`` that
    of black frame; the faults are probabilities.

    ``image``: uint8, shape (height, width), at least 8 by 8. The result: float64, shape
    (measures,), each at least 0, in the order of ``MEASURES``. Source: Immerkaer 1996, Fast Noise
    Variance Estimation.
    """
    height, width = image.shape
    y, x = height // MARGIN, width // MARGIN
    inside = image[y : height - y, x : width - x]
    counts = np.bincount(inside.ravel(), minlength=256)
    pixels, total, squares = inside.size, int(counts @ _LEVELS), int(counts @ _LEVELS**2)
    spread = math.sqrt(pixels * squares - total**2) / pixels
    gray = inside.astype(np.int16)
    near, far = _change(gray, 1), _change(gray, 4)
    second = float(np.abs(np.diff(np.diff(gray, 2, axis=0), 2, axis=1)).mean())
    clipped = int(counts[:BLACK_LEVELS].sum() + counts[-WHITE_LEVELS:].sum())
    faults = position.probabilities(image) if position else {}
    return np.array(
        [
            total / (pixels * 255),
            spread / 255,
            near / far if far else 0,
            math.sqrt(math.pi / 2) / 6 * second / spread if spread else 0,
            clipped / pixels,
            1 - _lit_share(image, axis=0) * _lit_share(image, axis=1),
            *(faults.get(fault, 0) for fault in FAULTS),
        ]
    )


def _named(
    measures: Sequence[float] | NDArray[np.floating], rows: int, columns: int
) -> dict[CheckName, float]:
    values = dict(zip(MEASURES, map(float, measures), strict=True))
    return values | {"aspect": columns / rows, "resolution": float(min(rows, columns))}


def _change(gray: NDArray[np.int16], step: int) -> float:
    """The mean difference of pixels so far apart, across plus down."""
    across, down = gray[:, step:] - gray[:, :-step], gray[step:] - gray[:-step]
    return float(np.abs(across).mean() + np.abs(down).mean())


def _lit_share(image: NDArray[np.uint8], axis: int) -> float:
    """From the first to the last row or column that is no frame, as a share; 0 of a black image."""
    sums = image.sum(axis=axis, dtype=np.int64)
    # Frame is less than an eighth as bright as the mean. Of whole numbers rounding decides nothing.
    (lit,) = (sums * FRAME_PARTS * sums.size > sums.sum()).nonzero()
    return (int(lit[-1]) - int(lit[0]) + 1) / sums.size if lit.size else 0.0


def checked(limit: Limit, value: float) -> Check:
    """Hold a value against its limits; a value that is no number is beyond them."""
    lower, upper, advice = limit.lower, limit.upper, None
    if lower is not None and not value >= lower:
        advice = ADVICE[limit.check, "lower"]
    elif upper is not None and not value <= upper:
        advice = ADVICE[limit.check, "upper"]
    return Check(limit.check, value, lower, upper, advice)
