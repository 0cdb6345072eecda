import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from tests.training_data import write_kermany
from training.atomic import write_errors
from training.datasets import Dataset, data_digest, read_dataset
from training.errors import WriteFailed
from training.source import cached_images

SPEC = PreprocessingSpec(height=16, width=24)


class Cached(NamedTuple):
    images: NDArray[np.uint8]
    unreadable: dict[str, str]


def kermany(root: Path, images_per_class: int = 3) -> Dataset:
    return read_dataset("kermany", write_kermany(root, "train", images_per_class), "train")


def cache(dataset: Dataset, folder: Path, digest: str = "d") -> Cached:
    return Cached(*cached_images(dataset, digest, SPEC, folder / "cache", Console(quiet=True)))


def spoil(dataset: Dataset, rows: slice) -> None:
    for path in dataset.table["path"][rows]:
        (dataset.root / path).write_bytes(b"not an image")


@contextmanager
def full_disk(after_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_row_is_what_the_service_would_see_and_black_where_it_sees_nothing(
    tmp_path: Path,
) -> None:
    dataset = kermany(tmp_path)
    paths = dataset.table["path"].tolist()
    spoil(dataset, slice(2, 3))
    (dataset.root / paths[4]).unlink()

    images, unreadable = cache(dataset, tmp_path)

    assert images.shape == (6, 16, 24, 1)
    assert images.dtype == np.uint8
    assert list(unreadable) == [paths[2], paths[4]]
    assert all(unreadable.values())
    for row, path in enumerate(paths):
        if path in unreadable:
            assert not images[row].any()
        else:
            radiograph = decode((dataset.root / path).read_bytes(), at_least=SPEC.size)
            np.testing.assert_array_equal(images[row], preprocess(radiograph, SPEC))


def test_the_second_time_nothing_is_decoded_unless_the_content_is_another(tmp_path: Path) -> None:
    dataset = kermany(tmp_path)
    digest = data_digest(dataset)
    first = cache(dataset, tmp_path, digest).images.copy()
    spoil(dataset, slice(0, 1))

    again, other = (cache(dataset, tmp_path, of) for of in (digest, data_digest(dataset)))

    np.testing.assert_array_equal(again.images, first)
    assert not again.unreadable
    assert list(other.unreadable) == [dataset.table["path"][0]]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device. Nothing is lost: make room"),
        (errno.EACCES, "Permission denied. Nothing is lost: mend this"),
        (errno.ENOTDIR, "Not a directory. Nothing is lost: mend this"),
    ],
)
def test_room_is_asked_for_only_where_it_is_short(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(WriteFailed, match=said), write_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_full_disk_has_a_clear_message_and_loses_nothing(tmp_path: Path) -> None:
    dataset = kermany(tmp_path)

    with full_disk(after_bytes=500), pytest.raises(WriteFailed, match="Nothing is lost"):
        cache(dataset, tmp_path)

    assert cache(dataset, tmp_path).images[5].any()
