"""The golden answers of a bundle: drawn images, and what its graph says of them in ONNX Runtime."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.golden import Golden, golden_bytes
from contract.manifest import GOLDEN_FILE, ModelManifest, read_verified_model, sha256_digest
from contract.preprocessing import PreprocessingSpec
from export.inference import open_session, run_in_batches
from export.package import amend_bundle
from export.verify import open_bundle

_LUNGS = ((0.3, 0.48), (0.7, 0.48))
_LUNG_WIDTH, _LUNG_HEIGHT = 0.15, 0.32


def golden_answers(
    sessions: Mapping[str, onnxruntime.InferenceSession], spec: PreprocessingSpec
) -> bytes:
    """Run the graphs of a bundle on drawn images.

    Args:
        sessions: By precision, such as ``fp32``.
        spec: Of the model's input.

    Returns:
        The bytes of golden.npz.
    """
    images = draw_phantoms(*spec.size)
    answers = {
        precision: run_in_batches(session, images)["probabilities"]
        for precision, session in sessions.items()
    }
    return golden_bytes(Golden(images, answers))


def open_sessions(
    bundle: Path, manifest: ModelManifest
) -> Mapping[str, onnxruntime.InferenceSession]:
    """A session for each precision of a bundle.

    Raises:
        ManifestError: A file is missing, or not the one that the manifest describes.
    """
    return {
        precision: open_session(read_verified_model(bundle, manifest, precision))
        for precision in manifest.digests
    }


def add_golden(bundle: Path) -> None:
    """Give a bundle that was exported without golden answers those of its graphs on this machine.

    Raises:
        ManifestError: The manifest, the digest or the signature is wrong.
        VerificationError: The folder's name and version are not the manifest's.
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    manifest, _ = open_bundle(bundle)
    golden = golden_answers(open_sessions(bundle, manifest), manifest.preprocessing)
    described = manifest.model_copy(update={"golden_digest": sha256_digest(golden)})
    amend_bundle(bundle, manifest, described, {GOLDEN_FILE: golden})


def draw_phantoms(height: int, width: int) -> NDArray[np.uint8]:
    """Draw what looks like chests from afar: with clear lungs, with shadows, and hardly aired.

    No model is sure of any of them, so a small change of its arithmetic shows in its answer.

    Args:
        height: In pixels.
        width: In pixels.

    Returns:
        uint8, shape (4, height, width, 1), 0 black to 255 white.
    """
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y / height, x / width
    clear = _chest(y, x, air=150)
    shadowed = clear + _shadow(y, x, 0.3, 0.6, radius=0.08, density=90)
    both = clear + sum(_shadow(y, x, at, 0.6, radius=0.12, density=120) for at in (0.3, 0.7))
    dense = _chest(y, x, air=60)
    pictures = np.stack([clear, shadowed, both, dense])[..., np.newaxis]
    return np.clip(np.round(pictures), 0, 255).astype(np.uint8)


def _chest(y: NDArray[np.float64], x: NDArray[np.float64], air: float) -> NDArray[np.float64]:
    picture = 200 - 120 * np.abs(x - 0.5)
    for across, down in _LUNGS:
        distance = ((x - across) / _LUNG_WIDTH) ** 2 + ((y - down) / _LUNG_HEIGHT) ** 2
        picture = picture - air * np.clip(1 - distance, 0, 1)
    return picture


def _shadow(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    across: float,
    down: float,
    *,
    radius: float,
    density: float,
) -> NDArray[np.float64]:
    distance = ((x - across) / radius) ** 2 + ((y - down) / radius) ** 2
    shadow: NDArray[np.float64] = density * np.exp(-distance)
    return shadow
