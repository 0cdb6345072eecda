"""Pictures that lie over an image: where the model saw a finding, and where the lungs are."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.findings import Label
from contract.radiograph import Radiograph

MAX_SIDE = 1024
MEDIA_TYPE = "image/png"
# Smooth gray compresses nearly as well at the fastest level, in a fraction of the time.
PNG_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A gray PNG over the radiograph, 0 no evidence to 255 full strength, in base64.

    ``inside_lungs`` is the share of the evidence that lies in the lungs, 0 to 1; None where there
    is none, or where the lungs are not known.
    """

    label: Label
    data: str
    width: int
    height: int
    inside_lungs: float | None = None


@dataclass(frozen=True, slots=True)
class LungPicture:
    """A gray PNG over the radiograph, 0 no lung and 255 lung, in base64."""

    data: str
    width: int
    height: int


def size_as_sent(image: Radiograph) -> tuple[int, int]:
    """The height and width of an image as it lies in its file, before it was turned upright."""
    size = image.rows, image.columns
    return size[::-1] if image.turned.transposed else size


def heatmap_size(image: Radiograph) -> tuple[int, int]:
    """The radiograph's own height and width, shrunk until the longer is at most 1024."""
    rows, columns = size_as_sent(image)
    shrink = min(1.0, MAX_SIDE / max(rows, columns))
    return max(1, round(rows * shrink)), max(1, round(columns * shrink))


def draw_heatmap(
    activation: NDArray[np.float32], scale: float, label: Label, image: Radiograph
) -> Heatmap:
    """Draw one class's activation map, float32 (height, width), over a radiograph as it was sent.

    The activation ``scale``, and what is stronger, is drawn as 255; what is negative as 0.
    """
    height, width = heatmap_size(image)
    fitted = Image.fromarray(image.turned.undo(activation)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    gray = np.rint(np.clip(np.asarray(fitted) * (255 / scale), 0, 255)).astype(np.uint8)
    return Heatmap(label=label, data=as_png(gray), width=width, height=height)


def as_png(gray: NDArray[np.uint8]) -> str:
    """Write a gray picture, uint8 (height, width), as a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG", compress_level=PNG_LEVEL)
    return base64.b64encode(file.getvalue()).decode("ascii")
