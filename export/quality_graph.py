"""The quality measures of an image as an output of its model's graph.

They are those of ``contract.quality`` that need nothing but the image. In the graph they
take no time of Python's interpreter, and whoever runs the graph without this service has them too.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from contract.manifest import QUALITY, TensorSpec
from contract.quality import (
    BLACK_LEVELS,
    FAULTS,
    FRAME_PARTS,
    MARGIN,
    MEASURES,
    WHITE_LEVELS,
    Templates,
)
from export.graph import extend, image_size

OUTPUT = TensorSpec(name=QUALITY, dtype="float32", shape=("batch", len(MEASURES)))
# Largest difference to contract.quality. A thumbnail's pixel may be rounded otherwise, which moves
# the probability of a fault by as much as the second.
TOLERANCES = np.array([0.02 if name in FAULTS else 1e-5 for name in MEASURES])


def add_quality(proto: onnx.ModelProto, position: Templates | None = None) -> onnx.ModelProto:
    """A copy of a graph with the output ``quality``, float32, shape (batch, measures).

    The order is that of ``contract.quality.MEASURES``; an output of this name is replaced. Without
    templates the faults are 0. The input ``image`` is uint8, shape (batch, height, width, 1), at
    least 8 by 8.
    """
    height, width = image_size(proto)
    constants = {**_constants(height, width), **_position(height, width, position)}
    output = f"float[batch, {len(MEASURES)}] {QUALITY}"
    nodes = Path(__file__).parent / "templates" / "quality.onnxtxt"
    return extend(proto, QUALITY, nodes.read_text(), [output], constants)


def _position(height: int, width: int, position: Templates | None) -> dict[str, object]:
    side = position.side if position else 2
    templates = position.templates if position else ()
    # The first column is the evidence of a sound image.
    weights = [np.zeros(side**2), *(np.array(template.weights) for template in templates)]
    to_faults = [[0.0] * len(FAULTS)]
    to_faults += [[float(template.fault == fault) for fault in FAULTS] for template in templates]
    return {
        "narrowing": _shrinking(width, side).T,
        "lowering": _shrinking(height, side),
        "half": 0.5,
        "thumbnail_shape": [-1, side**2],
        "templates": np.stack(weights, axis=1),
        "biases": [0.0, *(template.bias for template in templates)],
        "shares_to_faults": to_faults,
    }


def _shrinking(length: int, side: int) -> NDArray[np.float64]:
    """The weights of Pillow's antialiased bilinear resize along one side, shape (side, length)."""
    scale = length / side
    centres = (np.arange(side)[:, np.newaxis] + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres) / max(scale, 1)
    weights = np.clip(1 - distances, 0, None)
    shares = weights / weights.sum(axis=1, keepdims=True)
    # Pillow's weights have so many steps.
    rounded: NDArray[np.float64] = np.floor(shares * 2**22 + 0.5) / 2**22
    return rounded


def _constants(height: int, width: int) -> dict[str, object]:
    y, x = height // MARGIN, width // MARGIN
    middle = (BLACK_LEVELS + 255 - WHITE_LEVELS) / 2
    inner = middle - BLACK_LEVELS
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
        # Divides in place of a zero where nothing changes or there is no contrast.
        "tiny": 1e-12,
        "nothing": 0.0,
        "ones": np.ones((1, height)),
        "parts": np.repeat([FRAME_PARTS * height, FRAME_PARTS * width], [height, width]) * 1.0,
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
