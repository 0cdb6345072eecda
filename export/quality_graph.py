"""The quality measures of an image as an output of its model's graph.

They are those of ``contract.quality_measures`` that need nothing but the image. In the graph they
cost no time of Python's interpreter, and whoever runs the graph without this service has them too.
"""

import numpy as np
import onnx

from contract.manifest import TensorSpec
from export.graph import add_fragment, image_size

QUALITY = "quality"
MEASURES = ("exposure", "contrast", "sharpness", "noise", "clipping", "collimation")
OUTPUT = TensorSpec(name=QUALITY, dtype="float32", shape=("batch", len(MEASURES)))
# Largest difference to contract.quality_measures, measured over noise, empty and drawn images.
TOLERANCE = 1e-5
# As in contract.quality_measures: the margin, what counts as clipped, and what as frame.
_MARGIN, _BLACK_LEVELS, _WHITE_LEVELS, _FRAME_PARTS = 8, 3, 6, 8
# Divides in place of a zero where nothing changes or there is no contrast.
_TINY = 1e-12

# ``rows`` and ``columns`` are sums of gray. A line is lit where its sum times ``parts`` is above the
# total, which are whole numbers below 2 ** 24 for up to 256 x 256 pixels, and exact. The largest of
# ``positions`` from both ends, over what is lit, gives how far the lit part extends.
_COLLIMATION = """
  rows_flat = ReduceSum <keepdims = 0> (level, two)
  rows = Unsqueeze (rows_flat, one)
  columns = MatMul (ones, level)
  lines = Concat <axis = 2> (rows, columns)
  total = ReduceSum <keepdims = 1> (rows, two)
  scaled = Mul (lines, parts)
  lit = Greater (scaled, total)
  places = Where (lit, positions, nothing)
  ends = ReduceMax <keepdims = 0> (places, two)
  extents_signed = Gemm (ends, both_ends, sizes)
  extents_flat = Relu (extents_signed)
  extents = Unsqueeze (extents_flat, one)
  area = ReduceProd <keepdims = 1> (extents, two)
"""
# Black and white levels lie equally far from ``middle``, so one clip counts both.
_GRAYS = """
  mean = ReduceMean <keepdims = 1> (inside, plane)
  centred = Sub (inside, mean)
  square = Mul (centred, centred)
  variance = ReduceMean <keepdims = 1> (square, plane)
  deviation = Sqrt (variance)
  shifted = Sub (inside, middle)
  from_middle = Abs (shifted)
  beyond = Clip (from_middle, inner, outer)
  clipped = ReduceMean <keepdims = 1> (beyond, plane)
"""
_RATIOS = """
  near = Add (near_across, near_down)
  far = Add (far_across, far_down)
  dividends = Concat <axis = 2> (near, second)
  divisors_or_zero = Concat <axis = 2> (far, deviation)
  divisors = Max (divisors_or_zero, tiny)
  ratios = Div (dividends, divisors)
  stacked = Concat <axis = 2> (mean, deviation, ratios, clipped, area)
  flat = Squeeze (stacked, one)
  in_units = Mul (flat, units)
"""


def add_quality(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph with the output ``quality``, float32, shape (batch, measures).

    The order is that of ``contract.quality.MEASURES``.

    Args:
        proto: A classifier, whose input ``image`` is uint8, shape (batch, height, width, 1), at
            least 8 by 8. One that has the output already comes back as it is.
    """
    if any(output.name == QUALITY for output in proto.graph.output):
        return proto
    height, width = image_size(proto)
    outputs = f"float[batch, {len(MEASURES)}] {QUALITY}"
    body = (
        "level_channel = Cast <to = 1> (image)\n level = Squeeze (level_channel, last)\n"
        "inside = Slice (level, from, until, plane)\n"
        f"{_GRAYS}{_changes()}{_COLLIMATION}{_RATIOS} {QUALITY} = Add (in_units, offsets)"
    )
    return add_fragment(proto, QUALITY, body, outputs, _constants(height, width))


def _changes() -> str:
    """Mean magnitudes of differences; see ``contract.quality_measures.Changes``."""
    differences = (
        _difference("across", "inside", "two", 1),
        _difference("down", "inside", "one", 1),
        _difference("across4", "inside", "two", 4),
        _difference("down4", "inside", "one", 4),
        _difference("bend", "down", "one", 1),
        _difference("slope", "bend", "two", 1),
        _difference("twist", "slope", "two", 1),
    )
    means = {
        "near_across": "across",
        "near_down": "down",
        "far_across": "across4",
        "far_down": "down4",
        "second": "twist",
    }
    magnitudes = (
        f"{source}_size = Abs ({source})\n {name} = ReduceMean <keepdims = 1> ({source}_size, plane)"
        for name, source in means.items()
    )
    return "\n".join((*differences, *magnitudes))


def _difference(name: str, of: str, axis: str, step: int) -> str:
    later, earlier = ("one", "minus_one") if step == 1 else ("four", "minus_four")
    return (
        f"{name}_later = Slice ({of}, {later}, end, {axis})\n"
        f"{name}_earlier = Slice ({of}, zero, {earlier}, {axis})\n"
        f"{name} = Sub ({name}_later, {name}_earlier)"
    )


def _constants(height: int, width: int) -> dict[str, np.ndarray]:
    y, x = height // _MARGIN, width // _MARGIN
    middle = (_BLACK_LEVELS + 255 - _WHITE_LEVELS) / 2
    inner = middle - _BLACK_LEVELS
    along, across = np.arange(1, height + 1), np.arange(1, width + 1)
    positions = np.zeros((1, 4, height + width))
    positions[0, :2, :height] = along, along[::-1]
    positions[0, 2:, height:] = across, across[::-1]
    gray, noise = 1 / 255, np.sqrt(np.pi / 2) / 6
    floats: dict[str, object] = {
        "middle": middle,
        "inner": inner,
        "outer": inner + 1,
        "tiny": _TINY,
        "nothing": 0,
        "ones": np.ones((1, height)),
        "parts": np.repeat([_FRAME_PARTS * height, _FRAME_PARTS * width], [height, width]),
        "positions": positions,
        "both_ends": np.repeat(np.eye(2), 2, axis=0),
        "sizes": [-height, -width],
        "units": [gray, gray, 1, noise, 1, -1 / (height * width)],
        "offsets": [0, 0, 0, 0, -inner, 1],
    }
    whole: dict[str, list[int]] = {
        "last": [3], "from": [y, x], "until": [height - y, width - x], "plane": [1, 2],
        "zero": [0], "one": [1], "two": [2], "four": [4], "minus_one": [-1], "minus_four": [-4],
        "end": [2**31],
    }  # fmt: skip
    return {
        **{name: np.array(value, np.float32) for name, value in floats.items()},
        **{name: np.array(value, np.int64) for name, value in whole.items()},
    }
