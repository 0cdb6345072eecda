"""Does a bundle do what its manifest says?"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.decision import Decision, Evidence, OodResult, decide
from contract.findings import Label
from contract.manifest import (
    OOD_SCORE,
    QUALITY,
    SOURCE_DISTANCE,
    ModelManifest,
    read_manifest,
    read_verified_model,
)
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.quality import judge
from contract.radiograph import decode
from export.errors import ExportError
from export.graph import tensor_specs
from export.session import open_session, run_in_batches


class Answer(BaseModel):
    """What the bundle says of one image; the reference for what the service answers."""

    model_config = ConfigDict(frozen=True)

    file: str
    probabilities: dict[Label, float]
    decision: Decision


def open_bundle(bundle: Path) -> tuple[ModelManifest, onnxruntime.InferenceSession]:
    """Check a bundle's manifest, digests and signature, and open a session on its model.onnx.

    Raises:
        ManifestError: The manifest, a digest or a signature is wrong.
    """
    manifest = read_manifest(bundle)
    for precision in manifest.digests:
        graph = onnx.load_from_string(read_verified_model(bundle, manifest, precision)).graph
        manifest.check_signature(tensor_specs(graph.input), tensor_specs(graph.output))
    return manifest, open_session(read_verified_model(bundle, manifest))


def read_images(files: Sequence[Path], spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Decode and preprocess images as the service does.

    Returns:
        uint8, shape (n, height, width, 1).

    Raises:
        ImageError: A file cannot be read.
    """
    return np.stack([read_image(file, spec)[0] for file in files])


def read_image(file: Path, spec: PreprocessingSpec) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """One image as the model sees it, and the rows and columns of its file.

    Raises:
        ImageError: The file cannot be read.
    """
    radiograph = decode(file.read_bytes(), at_least=spec.size)
    return preprocess(radiograph, spec), (radiograph.rows, radiograph.columns)


def decide_all(
    manifest: ModelManifest,
    outputs: Mapping[str, NDArray[np.float32]],
    sizes: Iterable[tuple[int, int]],
) -> list[Decision]:
    """What the service would answer on images, from a graph's outputs and their files' sizes.

    Raises:
        ExportError: There are limits of quality, and the graph is of before it measured any.
    """
    limits = manifest.quality
    if limits and QUALITY not in outputs:
        raise ExportError("The graph measures no quality: run `pneumo-export refresh` first.")
    qualities = [
        judge(outputs[QUALITY][number], *size, limits) if limits else None
        for number, size in enumerate(sizes)
    ]
    gate = manifest.out_of_distribution
    rows = outputs["probabilities"].tolist()
    scores = outputs[OOD_SCORE].tolist() if gate else [0.0] * len(rows)
    nearest: list[Evidence | None] = [None] * len(rows)
    if SOURCE_DISTANCE in outputs:
        nearest = [manifest.nearest_source(each) for each in outputs[SOURCE_DISTANCE].tolist()]
    return [
        decide(
            manifest.labels,
            row,
            manifest.operating_points,
            quality=quality,
            out_of_distribution=OodResult(score=score, limit=gate.limit) if gate else None,
            evidence=evidence,
            evidenced=manifest.answers,
        )
        for row, score, quality, evidence in zip(rows, scores, qualities, nearest, strict=True)
    ]


def answer(bundle: Path, files: Sequence[Path]) -> list[Answer]:
    """What the bundle answers for some images, in their order.

    Raises:
        ManifestError, ExportError: As ``open_bundle`` and ``decide_all``.
        ImageError: A file cannot be read.
    """
    manifest, session = open_bundle(bundle)
    return [_answer(file, manifest, session) for file in files]


def _answer(file: Path, manifest: ModelManifest, session: onnxruntime.InferenceSession) -> Answer:
    image, size = read_image(file, manifest.preprocessing)
    outputs = run_in_batches(session, image[np.newaxis])
    [decision] = decide_all(manifest, outputs, [size])
    labelled = dict(zip(manifest.labels, outputs["probabilities"][0].tolist(), strict=True))
    return Answer(file=file.name, probabilities=labelled, decision=decision)
