"""Does the exported graph answer as the Keras model does?"""

from collections.abc import Mapping

import keras
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.manifest import Parity
from export.errors import ParityError
from export.inference import run_in_batches

TOLERANCE = 1e-5


def measure_parity(
    model: keras.Model, session: onnxruntime.InferenceSession, images: NDArray[np.uint8]
) -> Parity:
    """Compare Keras and ONNX Runtime on the same images.

    Args:
        model: The Keras model with serving outputs.
        session: A session on the graph converted from it.
        images: Real images, uint8, shape (n, height, width, 1).

    Raises:
        ParityError: A probability differs by more than 1e-5, or an output is missing.
    """
    found = run_in_batches(session, images)
    expected: Mapping[str, NDArray[np.float32]] = model.predict(images, verbose=0)
    if set(found) != set(expected):
        raise ParityError(f"The graph has the outputs {sorted(found)}, Keras {sorted(expected)}.")
    difference = float(np.abs(found["probabilities"] - expected["probabilities"]).max())
    # Not-a-number compares false with everything, so the accepted case is the one spelt out.
    if not difference <= TOLERANCE:
        raise ParityError(
            f"Over {len(images)} images a probability differs by {difference:.2e} between Keras "
            f"and ONNX Runtime; {TOLERANCE:.0e} is allowed. Nothing was written."
        )
    return Parity(images=len(images), max_probability_difference=difference, tolerance=TOLERANCE)
