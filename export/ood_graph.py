"""The out-of-distribution score in a fifth of the nodes that the converter makes of it.

``training.ood.descriptor`` describes an image by a thumbnail, its exposure and its detail at five
scales. Here three convolutions take all scales of the Haar wavelet, the thumbnail and the variance
follow from what they leave, and the standardisation is part of a product that is there anyway.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from contract.manifest import OOD_SCORE
from export.graph import add_fragment, image_size

# Largest difference of the score, as a share of it.
TOLERANCE = 1e-4
_SCALES, _CELLS = 5, 8
_PIXELS = _CELLS * _CELLS
# Of training.ood.descriptor: what is added to variances and powers, and the unit of the mean.
_VARIANCE_FLOOR, _POWER_FLOOR, _LEVEL_UNIT = 16.0, 0.05, 64.0
# Across, down and diagonal; the mean comes first.
_HAAR = (
    np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).reshape(4, 2, 2) / 4
)


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
    cell = f"{height // 4 // _CELLS}, {width // 4 // _CELLS}"
    return add_fragment(
        proto,
        "ood",
        f"float[batch] {OOD_SCORE}",
        _constants(score, height, width),
        inputs={"features": score.features},
        values={"CELL": cell, "FLOOR": str(_VARIANCE_FLOOR)},
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
        """Follow the score upwards, through what ``training.ood.scorer`` computes."""
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
        *score.joint[: known + _PIXELS], mean / _LEVEL_UNIT,
        *(row / 2 for row in powers), deviation / 2,
    ]  # fmt: skip
    shift = centre * scale
    return {
        "two_scales": _two_scales(),
        "one_scale": _HAAR[:, np.newaxis],
        "channels_to_powers": _channels_to_powers(),
        "floors": [_POWER_FLOOR] * (3 * _SCALES) + [_VARIANCE_FLOOR],
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


def _two_scales() -> NDArray[np.float64]:
    """Kernels of a step over four pixels: the mean, three details of 2 x 2 means, twelve of pixels.

    Returns:
        Shape (16, 1, 4, 4).
    """
    coarse = [np.kron(detail, np.full((2, 2), 1 / 4)) for detail in _HAAR]
    fine = [
        np.pad(detail, ((y, 2 - y), (x, 2 - x)))
        for detail in _HAAR[1:]
        for y in (0, 2)
        for x in (0, 2)
    ]
    return np.stack([*coarse, *fine])[:, np.newaxis]


def _channels_to_powers() -> NDArray[np.float64]:
    """From the mean squares of all channels to the powers of the details, and the variance.

    The channels are those of two steps over two scales, of one over one, and the centred rest. The
    wavelet is orthogonal: the variance of the pixels is the sum of all powers.

    Returns:
        Shape (16 + 16 + 4 + 1, 3 * scales + 1).
    """
    step = np.zeros((16, 6))
    step[4:, :3] = np.kron(np.eye(3), np.full((4, 1), 1 / 4))
    step[1:4, 3:] = np.eye(3)
    last = np.eye(4)[:, 1:]
    sums = np.zeros((37, 3 * _SCALES + 1))
    sums[:16, :6], sums[16:32, 6:12], sums[32:36, 12:15] = step, step, last
    sums[:, -1] = sums.sum(axis=1)
    sums[-1, -1] = 1
    return sums
