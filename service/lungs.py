"""The lungs of a radiograph: found by the segmenter of the model repository, checked and drawn.

The segmenter always runs on the CPU, on the thread of the image: it is small, it is asked for few
images, and an accelerator is the classifiers'.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.lungs import is_doubtful, lung_mask, with_lung_field
from contract.manifest import (
    LUNG_MASK,
    ModelManifest,
    SegmenterManifest,
    is_segmenter,
    read_segmenter,
)
from contract.preprocessing import PreprocessingSpec
from contract.quality import Quality
from contract.radiograph import Radiograph
from service.heatmap import LungPicture, as_png, heatmap_size
from service.session import OnnxGraph, SessionOptions

LUNG = 255

LungMap = NDArray[np.float32]
"""The probability of lung at each pixel, float32, shape (rows, columns), 0 to 1."""


@dataclass(frozen=True, slots=True)
class LungSegmenter:
    """A segmenter, ready to run."""

    manifest: SegmenterManifest
    graph: OnnxGraph

    @property
    def bundle(self) -> str:
        """Where it lies in the models folder, ``<name>/<version>``."""
        return f"{self.manifest.name}/{self.manifest.version}"

    def find(self, image: NDArray[np.uint8]) -> LungMap:
        """Find the lungs in an image of the segmenter's size, uint8 (height, width, 1).

        Raises:
            InferenceFailed: The graph did not run.
        """
        found: LungMap = self.graph.run((LUNG_MASK,), image[np.newaxis])[LUNG_MASK][0, ..., 0]
        return found


def load_segmenter(
    folder: Path, options: SessionOptions, current: LungSegmenter | None = None
) -> LungSegmenter | None:
    """Verify, load and warm the segmenter of a folder, unless it is the ``current`` one.

    Of several the first in name order serves, in its latest version; None where there is none.

    Raises:
        ManifestError: The bundle is not what its manifest says.
        InferenceFailed: The graph did not run.
    """
    bundles = [path for path in folder.glob("*/*") if path.name.isdigit() and is_segmenter(path)]
    if not bundles:
        return None
    chosen = min(bundles, key=lambda bundle: (bundle.parent.name, -int(bundle.name)))
    manifest, file = read_segmenter(chosen)
    if current is not None and manifest == current.manifest:
        return current
    segmenter = LungSegmenter(manifest, OnnxGraph(file, manifest, replace(options, provider="cpu")))
    segmenter.find(np.zeros((*manifest.preprocessing.size, 1), np.uint8))
    return segmenter


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
    CT there is nothing to find. ``fit`` gives the image in a size.

    Returns:
        Where the lungs are, None where nobody asks; and the quality, with ``lung_field`` where it
        was in doubt.

    Raises:
        InferenceFailed: The segmenter did not run.
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


def draw_lungs(lungs: LungMap, image: Radiograph) -> LungPicture:
    """Draw the lungs over a radiograph as it was sent, in the size of its heatmap."""
    height, width = heatmap_size(image)
    mask = lung_mask(image.turned.undo(lungs), (height, width))
    return LungPicture(as_png(mask.astype(np.uint8) * LUNG), width, height)
