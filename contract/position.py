"""Whether a chest lies in the picture as it should: upright, whole, and no negative.

A thumbnail is compared with templates that were learned from training images, and from the same
images turned, cut and inverted. They travel in the manifest, because what is upright for one model
is not for another.
"""

from functools import lru_cache
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

    @property
    def faults(self) -> frozenset[Fault]:
        """The faults that there is a template for."""
        return frozenset(template.fault for template in self.templates)

    def probabilities(self, image: NDArray[np.uint8]) -> dict[Fault, float]:
        """How probable each fault is, 0 to 1; what is left to 1 speaks for an image without any.

        Args:
            image: uint8, shape (height, width).
        """
        weights, biases = _matrix(self.templates)
        # A fault's evidence is relative to a sound image, whose own is therefore 0.
        evidence = np.append(weights @ thumbnail(image, self.side) + biases, 0)
        shares = np.exp(evidence - evidence.max())
        shares /= shares.sum()
        found = dict.fromkeys(self.faults, 0.0)
        for template, share in zip(self.templates, shares.tolist(), strict=False):
            found[template.fault] += share
        return found


@lru_cache(maxsize=64)
def _matrix(templates: tuple[Template, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (templates, side * side) and biases (templates,), made once for a model."""
    return (
        np.array([template.weights for template in templates]),
        np.array([template.bias for template in templates]),
    )


def thumbnail(image: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Shrink an image, and take its exposure and contrast away.

    Args:
        image: uint8, shape (height, width).
        side: Of the thumbnail, in pixels.

    Returns:
        float64, shape (side * side,), of mean 0 and variance 1; all 0 where the image is flat.
    """
    small = resize(image, (side, side)).astype(np.float64).ravel()
    centred = small - small.mean()
    spread = centred.std()
    normal: NDArray[np.float64] = centred / spread if spread else centred
    return normal
