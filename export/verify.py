"""Does a bundle do what its manifest says?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.decision import Decision, decide
from contract.findings import Label
from contract.manifest import ModelManifest, read_manifest, read_verified_model
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from export.errors import VerificationError
from export.graph import tensor_specs
from export.inference import open_session, run_in_batches


class Answer(BaseModel):
    """What the bundle says of one image; the reference for what the service answers."""

    model_config = ConfigDict(frozen=True)

    file: str
    probabilities: dict[Label, float]
    decision: Decision


def open_bundle(bundle: Path) -> tuple[ModelManifest, onnxruntime.InferenceSession]:
    """Check a bundle's manifest, digest and signature, and open a session on it.

    Raises:
        ManifestError: The manifest, the digest or the signature is wrong.
        VerificationError: The folder's name and version are not the manifest's.
    """
    manifest = read_manifest(bundle)
    if (bundle.parent.name, bundle.name) != (manifest.name, str(manifest.version)):
        raise VerificationError(
            f"The folder {bundle.parent.name}/{bundle.name} holds the manifest of "
            f"{manifest.name} version {manifest.version}."
        )
    model = read_verified_model(bundle, manifest)
    graph = onnx.load_from_string(model).graph
    manifest.check_signature(tensor_specs(graph.input), tensor_specs(graph.output))
    return manifest, open_session(model)


def read_images(files: Sequence[Path], spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Decode and preprocess images as the service does.

    Returns:
        uint8, shape (n, height, width, 1).

    Raises:
        ImageError: A file cannot be read.
    """
    return np.stack(
        [preprocess(decode(file.read_bytes(), at_least=spec.size), spec) for file in files]
    )


def answer(bundle: Path, files: Sequence[Path]) -> list[Answer]:
    """What the bundle answers for some images, in their order.

    Raises:
        ManifestError, VerificationError: As ``open_bundle``.
        ImageError: A file cannot be read.
    """
    manifest, session = open_bundle(bundle)
    if not files:
        return []
    probabilities = run_in_batches(session, read_images(files, manifest.preprocessing))[
        "probabilities"
    ]
    return [
        Answer(
            file=file.name,
            probabilities=dict(zip(manifest.labels, row, strict=True)),
            decision=decide(manifest.labels, row, manifest.operating_points),
        )
        for file, row in zip(files, probabilities.tolist(), strict=True)
    ]
