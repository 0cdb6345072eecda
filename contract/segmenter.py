"""The manifest of a segmenter: a bundle whose graph draws the lungs instead of naming findings.

It lies beside the classifiers in the model repository, in the same layout; ``kind`` in its
manifest.json, which a classifier's does not have, tells them apart.
"""

import json
from pathlib import Path
from typing import Literal

from contract.errors import InvalidManifest
from contract.lung_field import LungFieldLimits
from contract.manifest import (
    MANIFEST_FILE,
    BundleManifest,
    Signature,
    TensorSpec,
    read_manifest_of,
    read_verified_model,
)
from contract.preprocessing import PreprocessingSpec

LUNG_MASK = "lung_mask"


class SegmenterManifest(BundleManifest):
    """The whole of a segmenter's manifest.json.

    ``parity`` speaks of the probability of lung at each pixel. ``lung_field`` is what the quality
    check of that name accepts; without it the check is not made.
    """

    kind: Literal["segmenter"] = "segmenter"
    lung_field: LungFieldLimits | None = None


def segmenter_signature(spec: PreprocessingSpec) -> Signature:
    """The signature of every segmenter that this project exports."""
    shape = ("batch", spec.height, spec.width, 1)
    return Signature(
        inputs=(TensorSpec(name="image", dtype="uint8", shape=shape),),
        outputs=(TensorSpec(name=LUNG_MASK, dtype="float32", shape=shape),),
    )


def is_segmenter(bundle: Path) -> bool:
    """Whether a bundle's manifest is that of a segmenter; what cannot be read is none."""
    try:
        content = json.loads((bundle / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == "segmenter"


def read_segmenter(bundle: Path) -> tuple[SegmenterManifest, bytes]:
    """Read a segmenter's manifest and its graph, and check that they belong together.

    Returns:
        The manifest and the bytes of model.onnx.

    Raises:
        InvalidManifest: A file is missing or unreadable, or the manifest does not hold together, or
            is that of another name or version than the folder's.
        DigestMismatch: The SHA-256 of model.onnx is not the manifest's.
    """
    manifest = read_manifest_of(SegmenterManifest, bundle)
    folder = f"{bundle.parent.name}/{bundle.name}"
    if f"{manifest.name}/{manifest.version}" != folder:
        raise InvalidManifest(
            f"{folder} holds {manifest.name} version {manifest.version}. Rename the folder."
        )
    return manifest, read_verified_model(bundle, manifest)
