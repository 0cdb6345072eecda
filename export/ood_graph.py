"""The out-of-distribution score in a fifth of the nodes that the converter makes of it.

``training.ood`` defines the description of an image. Here the means and the details of a scale come
from one convolution, and the standardisation is part of a product that is there anyway.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from contract.manifest import OOD_SCORE
from export.graph import add_fragment, image_size
from training.ood import (
    COARSE,
    FINE,
    LEVEL_UNIT,
    POWER_FLOOR,
    THUMBNAIL,
    VARIANCE_FLOOR,
    haar_basis,
)

# Largest difference of the score, as a share of it.
TOLERANCE = 1e-4
_SCALES = 5
_PIXELS = THUMBNAIL**2


def fold_ood(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph that gives the same ``ood_score`` to within TOLERANCE, faster.

    Args:
        proto: A classifier. It comes back as it is where it has no score of the converter's, or
            where a side of its input is no multiple of 32, which leaves a rest at some scale.
    """
    height, width = image_size(proto)
    score = _Score.found_in(proto.graph)
    if score is None or height % 2**_SCALES or width % 2**_SCALES:
        return proto
    cell = f"{height // FINE // THUMBNAIL}, {width // FINE // THUMBNAIL}"
    return add_fragment(
        proto,
        "ood",
        f"float[batch] {OOD_SCORE}",
        _constants(score, height, width),
        inputs={"features": score.features},
        values={"CELL": cell, "FLOOR": str(VARIANCE_FLOOR)},
    )


@dataclass(frozen=True, slots=True)
class _Score:
    """What a converted score consists of, read from its graph.

    ``features`` names the tensor of the network's projected features. With ``numbers`` for the
    description, the whitened values of all groups are
    ``[features, (numbers - centre) * scale] @ joint - origin``; ``shape`` is that of one image's.
    """

    features: str
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    joint: NDArray[np.float64]
    origin: NDArray[np.float64]
    shape: tuple[int, int]

    @classmethod
    def found_in(cls, graph: onnx.GraphProto) -> Self | None:
        """Follow the score upwards, through what ``OodScorer.distance`` computes."""
        way = _Upwards(graph)
        way.to("Sqrt", OOD_SCORE)
        way.to("ReduceMin").to("ReduceMean").to("Mul").to("Reshape")
        shape = way.constant
        origin = way.to("Sub").constant
        joint = way.to("MatMul").constant
        way.to("Concat")
        features = way.node.input[0] if way.node else ""
        scale = way.to("Mul", of=1).constant
        centre = way.to("Sub").constant
        way.to("Concat")
        if way.node is None or len(centre) != _PIXELS + 2 + 3 * _SCALES:
            return None
        return cls(features, centre, scale, joint, origin, (int(shape[-2]), int(shape[-1])))


class _Upwards:
    """A walk from a tensor to what it comes of; ``node`` is None once another kind was met."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {tensor: node for node in graph.node for tensor in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self.node: onnx.NodeProto | None = None

    def to(self, kind: str, tensor: str = "", of: int = 0) -> Self:
        """Go to the maker of a tensor, or of an input of this node, if it is of a kind."""
        name = tensor or (self.node.input[of] if self.node and len(self.node.input) > of else "")
        maker = self._makers.get(name)
        self.node = maker if maker is not None and maker.op_type == kind else None
        return self

    @property
    def constant(self) -> NDArray[np.float64]:
        """The constant among the inputs of this node; empty where there is none."""
        for name in self.node.input if self.node else ():
            if name in self._constants:
                return numpy_helper.to_array(self._constants[name]).astype(np.float64)
        return np.empty(0)


def _constants(score: _Score, height: int, width: int) -> dict[str, object]:
    scale, centre = score.scale, score.centre
    known = len(score.joint) - len(centre)
    described = score.joint[known:]
    # The thumbnail is scaled where it is standardised; all else within the product.
    mean, deviation, *powers = (described * scale[:, np.newaxis])[_PIXELS:]
    rows = [
        *score.joint[: known + _PIXELS], mean / LEVEL_UNIT,
        *(row / 2 for row in powers), deviation / 2,
    ]  # fmt: skip
    shift = centre * scale
    return {
        "fine_kernels": _kernels(FINE),
        "coarse_kernels": _kernels(COARSE),
        "channels_to_powers": _channels_to_powers(),
        "floors": [POWER_FLOOR] * (3 * _SCALES) + [VARIANCE_FLOOR],
        "thumbnail_scale": scale[:_PIXELS],
        "thumbnail_shift": -shift[:_PIXELS],
        "joint": np.stack(rows),
        "origin": -score.origin - shift[_PIXELS:] @ described[_PIXELS:],
        "plane_shape": [-1, 1, height, width],
        "sides": [2, 3],
        "zero": [0],
        "one": [1],
        "thumbnail_shape": [-1, _PIXELS],
        "groups_shape": [-1, *score.shape],
        "two": [2],
    }


def _kernels(side: int) -> NDArray[np.float32]:
    """The Haar basis of a block as ONNX has kernels, shape (side ** 2, 1, side, side)."""
    return haar_basis(side)[0].transpose(2, 0, 1)[:, np.newaxis]


def _channels_to_powers() -> NDArray[np.float64]:
    """From the mean squares of all channels to the powers of the details, and the variance.

    The channels are those of both convolutions and the centred rest. The basis is orthogonal: the
    variance of the pixels is the sum of all powers.

    Returns:
        Shape (FINE ** 2 + COARSE ** 2 + 1, 3 * scales + 1).
    """
    rows, below = [], 0
    for side in (FINE, COARSE):
        _, scales, directions = haar_basis(side)
        details = 3 * (below + scales - 1) + directions
        rows.append(np.eye(3 * _SCALES)[details] * (scales > 0)[:, np.newaxis])
        below = scales.max()
    summed = np.pad(np.concatenate(rows), ((0, 1), (0, 1)))
    summed[:, -1] = summed.sum(axis=1)
    summed[-1, -1] = 1
    return summed
