"""Every image once through the model and the feature graph, kept as it goes."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from commissioning.graph import EMBEDDING, POOLED
from contract.errors import ImageError
from contract.manifest import ModelManifest
from contract.preprocessing import preprocess
from contract.quality import judge
from contract.radiograph import Radiograph, decode

CHUNK = 64
_WANTED = frozenset({"logits", "ood_score", "quality", POOLED, EMBEDDING})
_BORDER_PARTS = 16
_BORDER_SIDE = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of n images; rows of images that cannot be read are zero.

    ``digest`` (n,) is that of the pixels, "" where ``problem`` (n,) says what is wrong. ``logits``
    float32 (n, classes of the model); ``ood_score`` (n,), zero where the model has none;
    ``pooled`` (n, channels), the input of the last layer, no channels where it has none;
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
    progress: Callable[[int, int], None],
) -> Measured:
    """Measure images in chunks, each kept in ``folder``; a later call goes on behind the last.

    Args:
        paths: The images.
        manifest: Of the model.
        graph: Of ``measurement_graph``.
        folder: For the chunks of this graph and these images.
        progress: Is told how many images are done, and how many there are.
    """
    content = graph.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    session: onnxruntime.InferenceSession | None = None
    chunks = []
    for start in range(0, len(paths), CHUNK):
        some = paths[start : start + CHUNK]
        file = folder / f"{_key(content, some)}.npz"
        if not file.exists():
            session = session or _session(content)
            draft = file.with_suffix(".part.npz")
            np.savez(draft, **_measure_chunk(some, manifest, session))  # type: ignore[arg-type]
            draft.replace(file)
        with np.load(file) as arrays:
            chunks.append({name: arrays[name] for name in arrays.files})
        progress(min(start + CHUNK, len(paths)), len(paths))
    return Measured(
        **{
            field.name: np.concatenate([c[field.name] for c in chunks])
            for field in fields(Measured)
        }
    )


def _key(content: bytes, paths: tuple[Path, ...]) -> str:
    names = "\n".join(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in paths)
    return hashlib.sha256(content + names.encode()).hexdigest()[:24]


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _measure_chunk(
    paths: tuple[Path, ...], manifest: ModelManifest, session: onnxruntime.InferenceSession
) -> dict[str, NDArray[np.generic]]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        read = list(pool.map(lambda path: read_image(path, manifest), paths))
    images = np.stack([image for _, image, *_ in read])
    names = [o.name for o in session.get_outputs() if o.name in _WANTED]
    outputs = dict(zip(names, session.run(names, {"image": images}), strict=True))
    n, shapes = len(paths), [shape for *_, shape in read]
    good, limits = np.ones(n, np.bool_), manifest.quality
    if limits is not None:
        checked = zip(outputs["quality"], shapes, strict=True)
        good = np.array([all(s) and judge(q, *s, limits).accepted for q, s in checked])
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    problems = [problem for problem, *_ in read]
    return {
        "digest": np.array([d if not p else "" for d, p in zip(digests, problems, strict=True)]),
        "problem": np.array(problems),
        "logits": outputs["logits"],
        "ood_score": outputs.get("ood_score", np.zeros(n, np.float32)),
        "pooled": outputs.get(POOLED, np.zeros((n, 0), np.float32)),
        "embedding": outputs[EMBEDDING],
        "border": np.stack([_border(image[..., 0]) for image in images]),
        "shape": np.array(shapes, np.float32),
        "good": good,
    }


def read_image(
    path: Path, manifest: ModelManifest
) -> tuple[str, NDArray[np.uint8], tuple[int, int]]:
    """Read one image as the model sees it.

    Returns:
        What is wrong with it or ""; uint8 (height, width, 1), 0 black to 255 white; rows and
        columns of the file, 0 where it cannot be read.
    """
    size = manifest.preprocessing.size
    try:
        radiograph: Radiograph = decode(path.read_bytes(), at_least=size)
        image = preprocess(radiograph, manifest.preprocessing)
    except (ImageError, OSError) as error:
        return str(error), np.zeros((*size, 1), np.uint8), (0, 0)
    return "", image, (radiograph.rows, radiograph.columns)


def _border(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gray means along the outer sixteenth of each side: what shows there is no lung."""
    rows, columns = (max(1, side // _BORDER_PARTS) for side in image.shape)
    sides = (image[:rows].mean(0), image[-rows:].mean(0), image[:, :columns].mean(1))
    strips = (*sides, image[:, -columns:].mean(1))
    means = [part.mean() for strip in strips for part in np.array_split(strip, _BORDER_SIDE)]
    return np.array(means, np.float32)
