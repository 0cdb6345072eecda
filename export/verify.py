"""Does a bundle do what its manifest says?"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel

from contract.decision import Decision, OodResult, decide
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
    """Read several images, shape (n, height, width, 1), as ``read_image`` does."""
    return np.stack([read_image(file, spec)[0] for file in files])


def read_image(file: Path, spec: PreprocessingSpec) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """One image as the service decodes it for the model, and the rows and columns of its file.

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
    limits, gate = manifest.quality, manifest.out_of_distribution
    if limits and QUALITY not in outputs:
        raise ExportError(
            "The graph measures no quality: `pneumo-export refresh` writes a version that does."
        )
    gauged = {QUALITY, OOD_SCORE, SOURCE_DISTANCE} & outputs.keys()
    decisions = []
    rows = zip(sizes, outputs["probabilities"].tolist(), strict=True)
    for number, (size, probabilities) in enumerate(rows):
        row = {name: outputs[name][number].tolist() for name in gauged}
        distances = row.get(SOURCE_DISTANCE)
        decision = decide(
            manifest.labels,
            probabilities,
            manifest.operating_points,
            quality=judge(row[QUALITY], *size, limits) if limits else None,
            out_of_distribution=OodResult(score=row[OOD_SCORE], limit=gate.limit) if gate else None,
            evidence=manifest.nearest_source(distances) if distances else None,
            evidenced=manifest.answers,
        )
        decisions.append(decision)
    return decisions


def answer(bundle: Path, files: Sequence[Path]) -> list[Answer]:
    """What the bundle answers for some images, in their order.

    Raises:
        ManifestError, ExportError, ImageError: As ``open_bundle``, ``decide_all``, ``read_image``.
    """
    manifest, session = open_bundle(bundle)
    answers = []
    for file in files:
        image, size = read_image(file, manifest.preprocessing)
        outputs = run_in_batches(session, image[np.newaxis])
        [decision] = decide_all(manifest, outputs, [size])
        labelled = dict(zip(manifest.labels, outputs["probabilities"][0].tolist(), strict=True))
        answers.append(Answer(file=file.name, probabilities=labelled, decision=decision))
    return answers
