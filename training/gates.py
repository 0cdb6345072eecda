"""What the two gates before an answer say of images: their quality, and how familiar they are."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contract.manifest import OOD_SCORE
from contract.quality import QualityLimits, assess
from training.calibrate import Calibration

Images = NDArray[np.uint8]


def refused_by_gates(
    images: Images, outputs: Mapping[str, NDArray[np.float32]], calibration: Calibration
) -> NDArray[np.bool_] | None:
    """Say which images the service would refer before it looks at their probabilities.

    The shape and size of the files are not at issue, and the lungs are not looked for.

    Args:
        images: uint8, shape (images, height, width, 1).
        outputs: Of the served graph, for these images.
        calibration: With the gates' limits.

    Returns:
        bool, shape (images,); None where the model has no gate.
    """
    quality, familiar = calibration.quality, calibration.out_of_distribution
    if quality is None and familiar is None:
        return None
    refused = np.zeros(len(images), dtype=bool)
    if quality is not None:
        refused |= [not _accepted(image, quality) for image in images]
    if familiar is not None:
        refused |= outputs[OOD_SCORE] > np.float32(familiar.limit)
    return refused


def _accepted(image: Images, limits: QualityLimits) -> bool:
    return assess(image, *image.shape[:2], limits).accepted
