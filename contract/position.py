"""Whether a chest lies in the picture as it should: upright, whole, and no negative.

A thumbnail is compared with templates that were learned from training images, and from the same
images turned, cut and inverted. They travel in the manifest, because what is upright for one model
is not for another.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.pixels import resize

Fault = Literal["rotation", "framing", "inversion"]


class Template(BaseModel):
    """What speaks for one fault, against an image without any.

    ``weights`` are those of the thumbnail's pixels, row by row. Two templates may name the same
    fault: a chest on its side and one upside down look nothing alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault
    bias: float
    weights: tuple[float, ...]


class Templates(BaseModel):
    """All templates of a model; ``side`` is the thumbnail's, in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(ge=2, le=64)
    templates: tuple[Template, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _weights_fit_the_thumbnail(self) -> Self:
        if any(len(template.weights) != self.side**2 for template in self.templates):
            raise ValueError("a template has one weight for each pixel of the thumbnail")
        return self

    @cached_property
    def faults(self) -> frozenset[Fault]:
        """The faults that there is a template for."""
        return frozenset(template.fault for template in self.templates)

    def probabilities(self, image: NDArray[np.uint8]) -> dict[Fault, float]:
        """How probable each fault is, 0 to 1; what is left to 1 speaks for an image without any.

        ``image``: uint8, shape (height, width).
        """
        matrix = self._matrix
        # A fault's evidence is relative to a sound image, whose own is therefore 0.
        evidence = (matrix.weights @ thumbnail(image, self.side) + matrix.biases).tolist()
        most = max(0.0, *evidence)
        shares = [math.exp(each - most) for each in evidence]
        total = math.exp(-most) + sum(shares)
        found = dict.fromkeys(self.faults, 0.0)
        for template, share in zip(self.templates, shares, strict=True):
            found[template.fault] += share / total
        return found

    # Kept here, since a cache beside the model would hash all weights at every image.
    @cached_property
    def _matrix(self) -> "_Matrix":
        return _Matrix(
            weights=np.array([template.weights for template in self.templates]),
            biases=np.array([template.bias for template in self.templates]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Matrix:
    """``weights`` is float64 (templates, side * side), ``biases`` float64 (templates,).

    Templates that are compared compare what they keep, too, and arrays have no truth value.
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]


def thumbnail(image: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Shrink an image, and take its exposure and contrast away.

    ``image``: uint8, shape (height, width). ``side``: Of the thumbnail, in pixels.

    Returns:
        float64, shape (side * side,), of mean 0 and variance 1; all 0 where the image is flat.
    """
    small = resize(image, (side, side)).ravel().astype(np.float64)
    # NumPy's own mean and deviation take several times as long as sums of so few pixels.
    centred = small - np.add.reduce(small) / small.size
    spread = math.sqrt(np.vdot(centred, centred) / small.size)
    normal: NDArray[np.float64] = centred / spread if spread else centred
    return normal
