"""The manifest of a segmenter: a bundle whose graph draws the lungs instead of naming findings.

It lies beside the classifiers in the model repository, in the same layout; ``kind`` in its
manifest.json, which a classifier's does not have, tells them apart.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.errors import DigestMismatch, InvalidManifest, SignatureMismatch
from contract.lung_field import LungFieldLimits
from contract.manifest import (
    INTENDED_USE,
    MANIFEST_FILE,
    MODEL_FILE,
    Metric,
    Parity,
    Provenance,
    Signature,
    TensorSpec,
    sha256_digest,
)
from contract.preprocessing import PreprocessingSpec

LUNG_MASK = "lung_mask"


class SegmenterManifest(BaseModel):
    """The whole of a segmenter's manifest.json.

    ``parity`` speaks of the probability of lung at each pixel. ``lung_field`` is what the quality
    check of that name accepts; without it the check is not made. ``caveats`` are sentences for
    whoever reads its figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    kind: Literal["segmenter"] = "segmenter"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    version: int = Field(ge=1)
    intended_use: Literal["Research only. Not for diagnosis."] = INTENDED_USE
    summary: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    signature: Signature
    preprocessing: PreprocessingSpec
    metrics: tuple[Metric, ...]
    provenance: Provenance
    parity: Parity
    lung_field: LungFieldLimits | None = None
    caveats: tuple[str, ...] = ()

    def check_signature(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
        """Compare what a loaded graph has with what the manifest says.

        Raises:
            SignatureMismatch: A name, dtype or dimension differs, or one is missing or too many.
        """
        found = set(inputs), set(outputs)
        if found != (set(self.signature.inputs), set(self.signature.outputs)):
            raise SignatureMismatch(
                f"{self.name} version {self.version}: the graph has other inputs or outputs than "
                "the manifest says. Export the model again."
            )


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
    folder = f"{bundle.parent.name}/{bundle.name}"
    try:
        content, model = (bundle / MANIFEST_FILE).read_bytes(), (bundle / MODEL_FILE).read_bytes()
        manifest = SegmenterManifest.model_validate_json(content)
    except OSError as error:
        raise InvalidManifest(f"{folder} lacks a file that can be read.") from error
    except ValidationError as error:
        raise InvalidManifest(f"{folder}/{MANIFEST_FILE}: {error}") from error
    if f"{manifest.name}/{manifest.version}" != folder:
        raise InvalidManifest(
            f"{folder} holds {manifest.name} version {manifest.version}. Rename the folder."
        )
    if (found := sha256_digest(model)) != manifest.digest:
        raise DigestMismatch(
            f"{folder}/{MODEL_FILE} has {found}, the manifest says {manifest.digest}. "
            "The file was changed or only partly copied: copy the bundle again."
        )
    return manifest, model
