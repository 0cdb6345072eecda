"""From a decoded radiograph to the array that every model takes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contract.pixels import resize, to_uint8

if TYPE_CHECKING:
    # The parent of several workers reads manifests, and decodes nothing.
    from contract.radiograph import Radiograph


class PreprocessingSpec(BaseModel):
    """The size of a model's input; the manifest carries it from training to serving."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=8, le=4096)
    width: int = Field(ge=8, le=4096)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.height, self.width

    @property
    def words(self) -> str:
        """The input in words, for a card or a page."""
        return f"gray, {self.width} by {self.height} pixels, uint8"


def preprocess(radiograph: "Radiograph", spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Fit a radiograph to a model's input: uint8, shape (height, width, 1), 0 black to 255 white.

    The aspect ratio is not kept: the public training sets come stretched to a square, and a model
    must see in service what it saw in training.
    """
    return to_uint8(resize(radiograph.pixels, spec.size))[..., np.newaxis]
