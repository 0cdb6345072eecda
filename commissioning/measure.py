"""Every image once through the model and the feature graph, kept as it goes."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from rich.console import Console
from rich.progress import track

from commissioning.graph import EMBEDDING, POOLED
from contract.errors import ImageError
from contract.manifest import ModelManifest
from contract.preprocessing import preprocess
from contract.quality import judge
from contract.radiograph import Radiograph, decode
from contract.suitability import check_suitable
from export.session import open_session, run_in_batches

CHUNK = 64
_BORDER_PARTS = 16
_BORDER_SIDE = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of n images; rows of images that are set aside are zero.

    ``digest`` (n,) is that of the pixels, "" where ``problem`` (n,) says why the image is set
    aside. ``logits`` float32 (n, classes of the model); ``ood_score`` (n,), zero where the model
    has none; ``pooled`` (n, channels), the input of the last layer, no channels where it has none;
    ``embedding`` (n, d). ``border`` (n, 4 * 8) are gray means along the outer sixteenth, ``shape``
    (n, 2) rows and columns of the file. ``good`` (n,) says whether the quality gate lets the image
    through.
    """

    digest: NDArray[np.str_]
    problem: NDArray[np.str_]
    logits: NDArray[np.float32]
    ood_score: NDArray[np.float32]
    pooled: NDArray[np.float32]
    embedding: NDArray[np.float32]
    border: NDArray[np.float32]
    shape: NDArray[np.float32]
    good: NDArray[np.bool_]

    def take(self, index: NDArray[np.int64]) -> "Measured":
        """Some of the images, in this order."""
        return Measured(*(getattr(self, field.name)[index] for field in fields(self)))


def measure(
    paths: tuple[Path, ...],
    manifest: ModelManifest,
    graph: onnx.ModelProto,
    folder: Path,
    console: Console,
) -> Measured:
    """Measure images in chunks, each kept in ``folder``; a later call goes on behind the last.

    ``graph`` is that of ``measurement_graph``.
    """
    content = graph.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    session = open_session(content, threads=len(os.sched_getaffinity(0)))
    chunks = []
    for start in track(range(0, len(paths), CHUNK), "images", console=console):
        some = paths[start : start + CHUNK]
        file = folder / f"{_key(content, some)}.npz"
        if not file.exists():
            draft = file.with_suffix(".part.npz")
            np.savez(draft, **_measure_chunk(some, manifest, session))  # type: ignore[arg-type]
            draft.replace(file)
        with np.load(file) as arrays:
            chunks.append(dict(arrays))
    return Measured(**{name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]})


def read_image(
    path: Path, manifest: ModelManifest
) -> tuple[str, NDArray[np.uint8], tuple[int, int]]:
    """Read one image as the model sees it.

    Returns:
        Why the service would not answer it, or ""; uint8 (height, width, 1), 0 black to 255 white;
        rows and columns of the file, 0 where it is set aside.
    """
    size = manifest.preprocessing.size
    try:
        radiograph: Radiograph = decode(path.read_bytes(), at_least=size)
        check_suitable(radiograph.dicom, manifest)
        image = preprocess(radiograph, manifest.preprocessing)
    except (ImageError, OSError) as error:
        return str(error), np.zeros((*size, 1), np.uint8), (0, 0)
    return "", image, (radiograph.rows, radiograph.columns)


def _key(content: bytes, paths: tuple[Path, ...]) -> str:
    names = "\n".join(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in paths)
    return hashlib.sha256(content + names.encode()).hexdigest()[:24]


def _measure_chunk(
    paths: tuple[Path, ...], manifest: ModelManifest, session: InferenceSession
) -> dict[str, NDArray[np.generic]]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = pool.map(lambda path: read_image(path, manifest), paths)
        problems, planes, shapes = zip(*found, strict=True)
    images, n = np.stack(planes), len(paths)
    outputs = run_in_batches(session, images)
    good, limits = [True] * n, manifest.quality
    if limits is not None:
        checked = zip(outputs["quality"], shapes, strict=True)
        good = [rows > 0 and judge(q, rows, cols, limits).accepted for q, (rows, cols) in checked]
    read = zip(problems, planes, strict=True)
    return {
        "digest": np.array(["" if p else hashlib.sha256(i.tobytes()).hexdigest() for p, i in read]),
        "problem": np.array(problems),
        "logits": outputs["logits"],
        "ood_score": outputs.get("ood_score", np.zeros(n, np.float32)),
        "pooled": outputs.get(POOLED, np.zeros((n, 0), np.float32)),
        "embedding": outputs[EMBEDDING],
        "border": np.stack([_border(image[..., 0]) for image in images]),
        "shape": np.array(shapes, np.float32),
        "good": np.array(good),
    }


def _border(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gray means along the outer sixteenth of each side: what shows there is no lung."""
    rows, columns = (max(1, side // _BORDER_PARTS) for side in image.shape)
    strips = [image[:rows].mean(0), image[-rows:].mean(0)]
    strips += [image[:, :columns].mean(1), image[:, -columns:].mean(1)]
    means = [part.mean() for strip in strips for part in np.array_split(strip, _BORDER_SIDE)]
    return np.array(means, np.float32)
