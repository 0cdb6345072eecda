"""Keras to ONNX, by way of a SavedModel.

The direct ways (``format="onnx"``, ``from_function``) leave the constants of some layers as extra
graph inputs: such a file converts, and cannot run. The SavedModel way does not.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from contract.manifest import (
    OOD_SCORE,
    SOURCE_DISTANCE,
    Parity,
    Signature,
    TensorSpec,
    classifier_signature,
)
from contract.quality import Templates
from export.errors import ConversionError, ParityError
from export.graph import check_graph, with_named_batch_axis, with_one_gray
from export.quality_graph import OUTPUT, add_quality
from export.session import run_in_batches
from training.efficientnet_lite import COMMISSIONING_LAYER, efficientnet_lite0
from training.workdir import TrainedModel

OPSET = 18
TOLERANCE = 1e-5
# Of the score, as a share of it: it adds up hundreds of squares.
SCORE_TOLERANCE = 1e-3
HALF_TOLERANCE, HALF_SCORE_TOLERANCE = 5e-3, 5e-2


def convert(
    model: keras.Model, signature: Signature, position: Templates | None = None
) -> onnx.ModelProto:
    """Convert a Keras model with dict outputs into an ONNX graph with a named batch axis.

    Where the signature has ``quality``, the measures are added to the graph, with the templates for
    those of them that speak of the position.

    Raises:
        ConversionError: tf2onnx failed; the inputs or outputs differ from the signature; or more
            than two Transpose nodes are left, which cost time at every request.
    """
    with TemporaryDirectory() as directory:
        saved_model, onnx_file = Path(directory, "saved_model"), Path(directory, "model.onnx")
        model.export(saved_model, verbose=False)
        _run_tf2onnx(saved_model, onnx_file)
        proto = onnx.load(onnx_file)
    proto = with_one_gray(with_named_batch_axis(proto))
    if OUTPUT in signature.outputs:
        proto = add_quality(proto, position)
    check_graph(proto, signature)
    return proto


def promised_signature(trained: TrainedModel, serving: keras.Model) -> Signature:
    """What the graph of a trained model must have; ``serving`` knows the activation map's size."""
    signature = classifier_signature(
        trained.config.preprocessing,
        len(trained.calibration.findings),
        serving.output["activation_map"].shape[1:3],
        ood_score=trained.scorer is not None,
        sources=len(trained.calibration.sources),
    )
    return signature.model_copy(update={"outputs": (*signature.outputs, OUTPUT)})


def export_features(weights: Path, output: Path) -> None:
    """Convert EfficientNet-Lite0, with its ImageNet weights, up to commissioning's layer.

    The graph takes ``image``, float32 (batch, 224, 224, 1), gray from 0 to 255, to ``features``,
    (batch, 7, 7, 192).

    Raises:
        ConversionError: The converted graph is another.
        OSError: The weights cannot be read.
    """
    side = 224
    image = keras.Input((side, side, 1), name="image")
    level = keras.layers.Rescaling(1 / 128, offset=-127 / 128)(image)
    network = efficientnet_lite0(input_shape=(side, side, 3), weights=weights)
    trunk = keras.Model(network.input, network.get_layer(COMMISSIONING_LAYER).output)
    features = trunk(keras.layers.Concatenate()([level] * 3))
    shape = ("batch", *features.shape[1:])
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", side, side, 1)),),
        outputs=(TensorSpec(name="features", dtype="float32", shape=shape),),
    )
    onnx.save(convert(keras.Model(image, {"features": features}), signature), output)


def measure_parity(
    model: keras.Model,
    session: onnxruntime.InferenceSession,
    images: NDArray[np.uint8],
    output: str = "probabilities",
    *,
    halved: bool = False,
) -> Parity:
    """Compare Keras and ONNX Runtime on the same images, uint8, shape (n, height, width, 1).

    Raises:
        ParityError: ``output`` differs by more than 1e-5, the out-of-distribution score by more
            than a thousandth (with weights of 16 bits, ``halved``, five thousandths and hundredths)
            or an output is missing.
    """
    found = run_in_batches(session, images)
    expected: Mapping[str, NDArray[np.float32]] = model.predict(images, verbose=0)
    if missing := sorted(set(expected) - set(found)):
        raise ParityError(f"The graph lacks the outputs {missing}, which Keras has.")
    apart = {name: np.abs(found[name] - expected[name]) for name in expected}
    allowed = HALF_TOLERANCE if halved else TOLERANCE
    differences = {output: (float(apart[output].max()), allowed)}
    for name in {OOD_SCORE, SOURCE_DISTANCE}.intersection(expected):
        share = apart[name] / np.maximum(expected[name], 1)
        differences[name] = float(share.max()), HALF_SCORE_TOLERANCE if halved else SCORE_TOLERANCE
    for name, (difference, allowed) in differences.items():
        # Not-a-number compares false with everything, so the accepted case is the one spelt out.
        if not difference <= allowed:
            raise ParityError(
                f"Over {len(images)} images {name} differs by {difference:.2e} between Keras and "
                f"ONNX Runtime; {allowed:.0e} is allowed. Nothing was written."
            )
    largest, tolerance = differences[output]
    return Parity(images=len(images), max_probability_difference=largest, tolerance=tolerance)


def _run_tf2onnx(saved_model: Path, onnx_file: Path) -> None:
    # A process of its own: tf2onnx disables eager execution and logs to the root logger.
    command = [
        *(sys.executable, "-m", "tf2onnx.convert", "--opset", str(OPSET)),
        *("--saved-model", str(saved_model), "--output", str(onnx_file)),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        last_lines = "\n".join(result.stderr.strip().splitlines()[-5:])
        raise ConversionError(f"tf2onnx failed:\n{last_lines}")
