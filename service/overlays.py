"""What lies over an image: where the model saw a finding, and where the lungs are."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.decision import Decision
from contract.findings import Label
from contract.lungs import is_doubtful, lung_mask, share_inside, with_lung_field
from contract.manifest import ModelManifest
from contract.preprocessing import PreprocessingSpec
from contract.quality import Quality
from contract.radiograph import Radiograph
from service.domain import ACTIVATION_MAP, PROBABILITIES, LungMap, LungSegmenter, Outputs, Picture

MAX_SIDE = 1024
MEDIA_TYPE = "image/png"
# Smooth gray compresses nearly as well at the fastest level, in a fraction of the time.
PNG_LEVEL = 1


def size_as_sent(image: Radiograph) -> tuple[int, int]:
    """The height and width of an image as it lies in its file, before it was turned upright."""
    size = image.rows, image.columns
    return size[::-1] if image.turned.transposed else size


def heatmap_size(image: Radiograph) -> tuple[int, int]:
    """The radiograph's own height and width, shrunk until the longer is at most 1024."""
    rows, columns = size_as_sent(image)
    shrink = min(1.0, MAX_SIDE / max(rows, columns))
    return max(1, round(rows * shrink)), max(1, round(columns * shrink))


def draw_finding(
    manifest: ModelManifest,
    outputs: Outputs,
    decision: Decision,
    lungs: LungMap | None,
    image: Radiograph,
    asked: Label | None = None,
) -> Picture:
    """Draw where the model saw a finding: that which was asked for, or decided, or most probable.

    ``outputs`` are of this image alone, with the activation map, which is drawn over the radiograph
    as it was sent. The finding's activation scale, and what is stronger, is drawn as 255; what is
    negative as 0.
    """
    label = asked or decision.label or manifest.labels[int(np.argmax(outputs[PROBABILITIES][0]))]
    index = manifest.labels.index(label)
    activation = np.ascontiguousarray(outputs[ACTIVATION_MAP][0, ..., index])
    height, width = heatmap_size(image)
    fitted = Image.fromarray(image.turned.undo(activation)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    scale = manifest.findings[index].activation_scale
    gray = np.rint(np.clip(np.asarray(fitted) * (255 / scale), 0, 255)).astype(np.uint8)
    heatmap = _as_picture(gray, label)
    if lungs is None:
        return heatmap
    return replace(heatmap, inside_lungs=share_inside(activation, lung_mask(lungs, lungs.shape)))


def look_for_lungs(
    segmenter: LungSegmenter | None,
    model: ModelManifest,
    fit: Callable[[PreprocessingSpec], NDArray[np.uint8]],
    quality: Quality | None,
    *,
    drawn: bool,
) -> tuple[LungMap | None, Quality | None]:
    """Find the lungs where they are to be drawn, or where they decide whether the image is whole.

    Whether they are drawn changes nothing of the quality, and so of the decision. On a slice of a
    CT there is nothing to find. ``fit`` gives the image in a size. Gives where the lungs are, None
    where nobody asks; and the quality, with ``lung_field`` where it was in doubt.
    """
    if segmenter is None or not model.reads_radiographs:
        return None, quality
    limits = segmenter.manifest.lung_field
    if quality is None or limits is None or not is_doubtful(quality, limits):
        limits = None
    if not drawn and limits is None:
        return None, quality
    lungs = segmenter.find(fit(segmenter.manifest.preprocessing))
    if quality is not None and limits is not None:
        quality = with_lung_field(quality, lung_mask(lungs, lungs.shape), limits)
    return lungs, quality


def draw_lungs(lungs: LungMap, image: Radiograph) -> Picture:
    """Draw the lungs over a radiograph as it was sent, in the size of its heatmap."""
    return _as_picture(lung_mask(image.turned.undo(lungs), heatmap_size(image)) * np.uint8(255))


def _as_picture(gray: NDArray[np.uint8], label: Label | None = None) -> Picture:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG", compress_level=PNG_LEVEL)
    height, width = gray.shape
    return Picture(base64.b64encode(file.getvalue()).decode("ascii"), width, height, label)
