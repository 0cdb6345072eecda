"""Keras to ONNX, by way of a SavedModel.

The direct ways (``format="onnx"``, ``from_function``) leave the constants of some layers as extra
graph inputs: such a file converts, and cannot run. The SavedModel way does not.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import onnx

from contract.manifest import Signature, classifier_signature
from export.errors import ConversionError
from export.graph import check_graph, with_named_batch_axis
from training.workdir import TrainedModel

OPSET = 18


def convert(model: keras.Model, signature: Signature) -> onnx.ModelProto:
    """Convert a Keras model with dict outputs into an ONNX graph with a named batch axis.

    Args:
        model: A built ``keras.Model``; its inputs and outputs are named as in the signature.
        signature: What the graph must have in the end.

    Raises:
        ConversionError: tf2onnx failed; the inputs or outputs differ from the signature; or more
            than two Transpose nodes are left, which cost time at every request.
    """
    with TemporaryDirectory() as directory:
        saved_model, onnx_file = Path(directory, "saved_model"), Path(directory, "model.onnx")
        model.export(saved_model, verbose=False)
        _run_tf2onnx(saved_model, onnx_file)
        proto = onnx.load(onnx_file)
    proto = with_named_batch_axis(proto)
    check_graph(proto, signature)
    return proto


def promised_signature(trained: TrainedModel, serving: keras.Model) -> Signature:
    """What the graph of a trained model must have.

    Args:
        trained: The finished training.
        serving: Its serving model, which knows the size of the activation map.
    """
    return classifier_signature(
        trained.config.preprocessing,
        len(trained.calibration.findings),
        serving.output["activation_map"].shape[1:3],
        ood_score=trained.scorer is not None,
    )


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
