"""The data set as one memory-mapped array of model inputs, decoded once."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import contract
from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.atomic import atomic_path, write_text
from training.datasets.base import Dataset


def cached_images(
    dataset: Dataset, digest: str, spec: PreprocessingSpec, folder: Path, console: Console
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Decode and resize a data set, or map what an earlier call has left.

    The cache is keyed by the data's digest, the size, and the source of the package ``contract``,
    so no stale array is ever read.

    Args:
        dataset: The images, in the order in which they will stand in the array.
        digest: The data set's digest.
        spec: The size of the model's input.
        folder: Where caches are kept.
        console: Where progress is shown.

    Returns:
        uint8, shape (images, height, width, 1), mapped from the disk; and the reason for each path
        that could not be decoded, whose row is black.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    folder = folder / _key(dataset, digest, spec)
    array, faults = folder / "images.npy", folder / "unreadable.json"
    if not array.is_file():
        with atomic_path(array) as draft:
            write_text(faults, json.dumps(_decode_all(dataset, spec, draft, console)))
    return np.load(array, mmap_mode="r"), json.loads(faults.read_bytes())


def _decode_all(
    dataset: Dataset, spec: PreprocessingSpec, array: Path, console: Console
) -> dict[str, str]:
    paths: list[str] = list(dataset.table["path"])
    unreadable: dict[str, str] = {}
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *spec.size, 1)}
    # Plain writes: a full disk then raises, where a mapped file would crash.
    with array.open("wb") as file, ThreadPoolExecutor() as pool:
        np.lib.format.write_array_header_1_0(file, header)
        rows = pool.map(partial(_decode, dataset.root, spec), paths)
        shown = track(
            zip(paths, rows, strict=True),
            "reading images",
            total=len(paths),
            console=console,
            disable=not console.is_terminal,
        )
        for path, row in shown:
            if isinstance(row, str):
                unreadable[path] = row
                row = bytes(spec.height * spec.width)
            file.write(row)
    return unreadable


def read_input(path: Path, spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Read a file as the model takes it: uint8, shape (height, width, 1).

    Raises:
        ImageError: It is no image, or damaged.
        OSError: The file cannot be read.
    """
    return preprocess(decode(path.read_bytes(), at_least=spec.size), spec)


def _decode(root: Path, spec: PreprocessingSpec, path: str) -> bytes | str:
    """The model's input, or why there is none: one bad file must not stop the others."""
    try:
        return read_input(root / path, spec).tobytes()
    except (ImageError, OSError) as error:
        return str(error)


def _key(dataset: Dataset, digest: str, spec: PreprocessingSpec) -> str:
    key = hashlib.sha256(f"{digest} {spec.model_dump_json()}".encode())
    key.update("\n".join(dataset.table["path"]).encode())
    for source in sorted(Path(contract.__path__[0]).glob("*.py")):
        key.update(source.read_bytes())
    return key.hexdigest()[:16]
