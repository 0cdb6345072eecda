"""The data set as one memory-mapped array of model inputs, decoded once."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import contract
from contract.errors import ImageError
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.atomic import atomic_path, write_text
from training.datasets import Dataset

Content = TypeVar("Content")


def cached_images(
    dataset: Dataset, digest: str, spec: PreprocessingSpec, folder: Path, console: Console
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Decode and resize a data set, or map what an earlier call has left.

    The cache is keyed by the data's digest, the size, and the source of the package ``contract``,
    so no stale array is ever read.

    Returns:
        uint8, shape (images, height, width, 1), in the table's order, mapped from the disk; and the
        reason for each path that could not be decoded, whose row is black.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    paths: list[str] = list(dataset.table["path"])
    key = hashlib.sha256(f"{digest} {spec.model_dump_json()}".encode())
    key.update("\n".join(paths).encode())
    for source in sorted(Path(contract.__path__[0]).glob("*.py")):
        key.update(source.read_bytes())
    folder = folder / key.hexdigest()[:16]
    array, faults = folder / "images.npy", folder / "unreadable.json"
    if not array.is_file():
        unreadable: dict[str, str] = {}
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *spec.size, 1)}
        # Plain writes: a full disk then raises, where a mapped file would crash.
        with atomic_path(array) as draft, draft.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            rows = read_all(paths, lambda path: read_input(dataset.root / path, spec), console)
            for path, row in zip(paths, rows, strict=True):
                if isinstance(row, str):
                    unreadable[path] = row
                file.write(bytes(spec.height * spec.width) if path in unreadable else row.tobytes())
            write_text(faults, json.dumps(unreadable))
    return np.load(array, mmap_mode="r"), json.loads(faults.read_bytes())


def read_all(
    paths: Sequence[str], read: Callable[[str], Content], console: Console
) -> Iterator[Content | str]:
    """Read images in threads, in their order, with a progress bar.

    Of one that cannot be read there is the reason: a bad file must not stop the others.
    """

    def outcome(path: str) -> Content | str:
        try:
            return read(path)
        except (ImageError, OSError) as error:
            return str(error)

    hidden = not console.is_terminal
    with ThreadPoolExecutor() as pool:
        found = pool.map(outcome, paths)
        yield from track(found, "reading images", len(paths), console=console, disable=hidden)


def read_input(path: Path, spec: PreprocessingSpec) -> NDArray[np.uint8]:
    """Read a file as the model takes it: uint8, shape (height, width, 1).

    Raises:
        ImageError: It is no image, or damaged.
        OSError: The file cannot be read.
    """
    return preprocess(decode(path.read_bytes(), at_least=spec.size), spec)
