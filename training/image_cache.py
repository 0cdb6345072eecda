"""The data set as one memory-mapped array of model inputs, decoded once."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

import contract
from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.atomic import write_errors, write_text
from training.datasets.base import Dataset

CHUNK = 128

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class CachedImages:
    """Every image of a data set, ready for the model.

    ``images`` is uint8, shape (images, height, width, 1), in the order of the data set's table,
    mapped from the disk. ``unreadable`` gives the reason for each path that could not be decoded;
    its row is black.
    """

    images: NDArray[np.uint8]
    unreadable: dict[str, str]


class _Progress(BaseModel):
    model_config = ConfigDict(frozen=True)

    done: int = 0
    unreadable: dict[str, str] = {}


def cached_images(
    dataset: Dataset,
    digest: str,
    spec: PreprocessingSpec,
    folder: Path,
    on_progress: OnProgress = lambda _: None,
) -> CachedImages:
    """Decode and resize a data set, or map what an earlier call has left.

    A call that was killed is continued where it stopped. The cache is keyed by the data's digest,
    the size, and the source of the package ``contract``, so no stale array is ever read.

    Args:
        dataset: The images, in the order in which they will stand in the array.
        digest: The data set's digest.
        spec: The size of the model's input.
        folder: Where caches are kept.
        on_progress: Called with the number of images that are done.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    folder = folder / _key(dataset, digest, spec)
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        array, state = folder / "images.npy", folder / "progress.json"
        progress = _resumed(array, state)
        if progress.done < len(dataset.table):
            progress = _fill(dataset, spec, array, state, progress, on_progress)
    on_progress(progress.done)
    return CachedImages(np.load(array, mmap_mode="r"), progress.unreadable)


def _fill(
    dataset: Dataset,
    spec: PreprocessingSpec,
    array: Path,
    state: Path,
    progress: _Progress,
    on_progress: OnProgress,
) -> _Progress:
    """Append rows with plain writes: a full disk then raises, where a mapped file would crash."""
    paths = list(dataset.table["path"])
    with array.open("r+b" if progress.done else "w+b") as file, ThreadPoolExecutor() as pool:
        start = _write_header(file, (len(paths), *spec.size, 1))
        stride = spec.height * spec.width
        file.truncate(start + progress.done * stride)
        file.seek(start + progress.done * stride)
        for chunk in _chunks(paths, progress.done):
            rows = dict(zip(chunk, _decoded(pool, dataset.root, chunk, spec), strict=True))
            unreadable = {path: row for path, row in rows.items() if isinstance(row, str)}
            for row in rows.values():
                file.write(bytes(stride) if isinstance(row, str) else row.tobytes())
            file.flush()
            os.fsync(file.fileno())
            progress = _Progress(
                done=progress.done + len(chunk), unreadable=progress.unreadable | unreadable
            )
            write_text(state, progress.model_dump_json())
            on_progress(progress.done)
    return progress


def _decoded(
    pool: Executor, root: Path, paths: list[str], spec: PreprocessingSpec
) -> Iterator[NDArray[np.uint8] | str]:
    return pool.map(lambda path: _decode(root / path, spec), paths)


def _decode(path: Path, spec: PreprocessingSpec) -> NDArray[np.uint8] | str:
    """The model's input, or why there is none: one bad file must not stop the others."""
    try:
        return preprocess(decode(path.read_bytes(), at_least=spec.size), spec)
    except (ImageError, OSError) as error:
        return str(error)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _chunks(paths: list[str], done: int) -> Iterator[list[str]]:
    for start in range(done, len(paths), CHUNK):
        yield paths[start : start + CHUNK]


def _resumed(array: Path, state: Path) -> _Progress:
    try:
        return _Progress.model_validate_json(state.read_bytes()) if array.exists() else _Progress()
    except (FileNotFoundError, ValidationError):
        return _Progress()


def _key(dataset: Dataset, digest: str, spec: PreprocessingSpec) -> str:
    key = hashlib.sha256(f"{digest} {spec.model_dump_json()}".encode())
    key.update("\n".join(dataset.table["path"]).encode())
    for source in sorted(Path(contract.__path__[0]).glob("*.py")):
        key.update(source.read_bytes())
    return key.hexdigest()[:16]
