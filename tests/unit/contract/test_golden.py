from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import DigestMismatch, GoldenMismatch, InvalidManifest
from contract.golden import TOLERANCES, Golden, golden_bytes, read_golden
from contract.manifest import GOLDEN_FILE, ModelManifest, sha256_digest
from tests.bundles import make_manifest

IMAGES = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
ANSWERS = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)


@pytest.fixture
def golden() -> Golden:
    return Golden(IMAGES, {"fp32": ANSWERS})


def named(content: bytes) -> ModelManifest:
    digest = sha256_digest(content)
    return make_manifest("sha256:" + 64 * "0").model_copy(update={"golden_digest": digest})


def test_a_file_that_has_changed_is_not_read(tmp_path: Path, golden: Golden) -> None:
    content = golden_bytes(golden)
    (tmp_path / GOLDEN_FILE).write_bytes(content[:-1])

    with pytest.raises(DigestMismatch, match="copy the bundle again"):
        read_golden(tmp_path, named(content))


@pytest.mark.parametrize("content", [b"", b"no archive", golden_bytes(Golden(IMAGES, {}))[:-9]])
def test_a_file_of_another_form_is_not_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / GOLDEN_FILE).write_bytes(content)

    with pytest.raises(InvalidManifest, match="does not hold images and answers"):
        read_golden(tmp_path, named(content))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_answer_may_differ_by_as_much_as_its_precision_explains(precision: str) -> None:
    golden, allowed = Golden(IMAGES, {precision: ANSWERS}), TOLERANCES[precision]

    golden.check(ANSWERS + np.float32(0.9 * allowed), precision)

    with pytest.raises(GoldenMismatch, match="does not compute what was measured"):
        golden.check(ANSWERS - np.float32(1.1 * allowed), precision)


@pytest.mark.parametrize(
    ("found", "precision"), [(ANSWERS, "int8"), (ANSWERS[:1], "fp32"), (ANSWERS[:, :1], "fp32")]
)
def test_an_answer_that_nothing_can_be_compared_with_is_refused(
    golden: Golden, found: NDArray[np.float32], precision: str
) -> None:
    with pytest.raises(GoldenMismatch, match="has no answers"):
        golden.check(found, precision)


def test_not_a_number_is_no_answer(golden: Golden) -> None:
    with pytest.raises(GoldenMismatch):
        golden.check(np.full_like(ANSWERS, np.nan))
