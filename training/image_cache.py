"""The data set as one memory-mapped array of model inputs, decoded once."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Decode and resize a data set, or map what an earlier call has left.

    A call that was killed is continued where it stopped. The cache is keyed by the data's digest,
    the size, and the source of the package ``contract``, so no stale array is ever read.

    Args:
        dataset: The images, in the order in which they will stand in the array.
        digest: The data set's digest.
        spec: The size of the model's input.
        folder: Where caches are kept.
        on_progress: Called with the number of images that are done.

    Returns:
        uint8, shape (images, height, width, 1), mapped from the disk; and the reason for each path
        that could not be decoded, whose row is black.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    folder = folder / _key(dataset, digest, spec)
    array, state = folder / "images.npy", folder / "progress.json"
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        progress = _resumed(array, state)
        if progress.done < len(dataset.table):
            # Plain writes: a full disk then raises, where a mapped file would crash.
            with array.open("r+b" if progress.done else "w+b") as file:
                progress = _fill(file, dataset, spec, state, progress, on_progress)
    on_progress(progress.done)
    return np.load(array, mmap_mode="r"), progress.unreadable


def _fill(
    file: IO[bytes],
    dataset: Dataset,
    spec: PreprocessingSpec,
    state: Path,
    progress: _Progress,
    on_progress: OnProgress,
) -> _Progress:
    paths = list(dataset.table["path"])
    stride = spec.height * spec.width
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *spec.size, 1)}
    np.lib.format.write_array_header_1_0(file, header)
    # What was half written is cut off.
    file.truncate(file.tell() + progress.done * stride)
    file.seek(0, os.SEEK_END)
    with ThreadPoolExecutor() as pool:
        for start in range(progress.done, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            rows = list(pool.map(partial(_decode, dataset.root, spec), chunk))
            file.writelines(bytes(stride) if isinstance(row, str) else row for row in rows)
            file.flush()
            os.fsync(file.fileno())
            faults = {p: row for p, row in zip(chunk, rows, strict=True) if isinstance(row, str)}
            done = start + len(chunk)
            progress = _Progress(done=done, unreadable=progress.unreadable | faults)
            write_text(state, progress.model_dump_json())
            on_progress(done)
    return progress


def _decode(root: Path, spec: PreprocessingSpec, path: str) -> bytes | str:
    """The model's input, or why there is none: one bad file must not stop the others."""
    try:
        return preprocess(decode((root / path).read_bytes(), at_least=spec.size), spec).tobytes()
    except (ImageError, OSError) as error:
        return str(error)


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
