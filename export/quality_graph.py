"""The quality measures of an image as an output of its model's graph.

They are those of ``contract.quality_measures`` that need nothing but the image. In the graph they
take no time of Python's interpreter, and whoever runs the graph without this service has them too.
"""

import numpy as np
import onnx

from contract.manifest import TensorSpec
from export.graph import add_fragment, image_size

QUALITY = "quality"
MEASURES = ("exposure", "contrast", "sharpness", "noise", "clipping", "collimation")
OUTPUT = TensorSpec(name=QUALITY, dtype="float32", shape=("batch", len(MEASURES)))
# Largest difference to contract.quality_measures.
TOLERANCE = 1e-5
# As in contract.quality_measures: the margin, what counts as clipped, and what as frame.
_MARGIN, _BLACK_LEVELS, _WHITE_LEVELS, _FRAME_PARTS = 8, 3, 6, 8
# Divides in place of a zero where nothing changes or there is no contrast.
_TINY = 1e-12


def add_quality(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph with the output ``quality``, float32, shape (batch, measures).

    The order is that of MEASURES.

    Args:
        proto: A classifier, whose input ``image`` is uint8, shape (batch, height, width, 1), at
            least 8 by 8. One that has the output already comes back as it is.
    """
    if any(output.name == QUALITY for output in proto.graph.output):
        return proto
    output = f"float[batch, {len(MEASURES)}] {QUALITY}"
    return add_fragment(proto, "quality", output, _constants(*image_size(proto)))


def _constants(height: int, width: int) -> dict[str, object]:
    y, x = height // _MARGIN, width // _MARGIN
    middle = (_BLACK_LEVELS + 255 - _WHITE_LEVELS) / 2
    inner = middle - _BLACK_LEVELS
    positions = np.zeros((1, 4, height + width))
    positions[0, 0, :height] = np.arange(1, height + 1)
    positions[0, 2, height:] = np.arange(1, width + 1)
    positions[0, 1, :height] = positions[0, 0, :height][::-1]
    positions[0, 3, height:] = positions[0, 2, height:][::-1]
    gray, noise = 1 / 255, np.sqrt(np.pi / 2) / 6
    return {
        "middle": middle,
        "inner": inner,
        "outer": inner + 1,
        "tiny": _TINY,
        "nothing": 0.0,
        "ones": np.ones((1, height)),
        "parts": np.repeat([_FRAME_PARTS * height, _FRAME_PARTS * width], [height, width]) * 1.0,
        "positions": positions,
        "both_ends": np.repeat(np.eye(2), 2, axis=0),
        "sizes": [-1.0 * height, -1.0 * width],
        "units": [gray, gray, 1, noise, 1, -1 / (height * width)],
        "offsets": [0, 0, 0, 0, -inner, 1],
        "from": [y, x],
        "until": [height - y, width - x],
        "plane": [1, 2],
        "last": [3],
        "zero": [0],
        "one": [1],
        "two": [2],
        "four": [4],
        "end": [2**31],
        "minus_one": [-1],
        "minus_four": [-4],
    }
