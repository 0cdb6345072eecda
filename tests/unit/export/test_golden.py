from pathlib import Path

import numpy as np
import pytest

from contract.golden import read_golden
from contract.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    ModelManifest,
    read_manifest,
    read_verified_model,
)
from export import golden
from export.errors import VerificationError
from export.golden import add_golden, draw_phantoms
from tests.bundles import SIZE, add_variant, expected_pneumonia, write_bundle


def test_the_phantoms_are_alike_at_every_size_and_differ_from_each_other() -> None:
    small, large = draw_phantoms(32, 48), draw_phantoms(64, 96)

    assert small.shape == (4, 32, 48, 1)
    assert small.dtype == np.uint8
    blocks = large.reshape(4, 32, 2, 48, 2).mean(axis=(2, 4), dtype=np.float64)
    assert np.abs(blocks - small[..., 0]).max() < 6
    assert len({picture.tobytes() for picture in small}) == 4


def test_a_bundle_gets_the_answers_of_its_graph_and_keeps_all_else(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    before = read_manifest(bundle)

    add_golden(bundle)

    after = read_manifest(bundle)
    golden = read_golden(bundle, after)
    assert golden is not None
    assert golden.images.shape == (4, SIZE, SIZE, 1)
    expected = [expected_pneumonia(image) for image in golden.images]
    np.testing.assert_allclose(golden.probabilities["fp32"][:, 1], expected, atol=1e-5)
    assert after.model_copy(update={"golden_digest": None}) == before


def test_a_bundle_gets_the_answers_of_every_file_that_it_has(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    add_variant(bundle, "int8")

    add_golden(bundle)

    found = read_golden(bundle, read_manifest(bundle))
    assert found is not None
    assert set(found.probabilities) == {"fp32", "int8"}


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_change_that_is_stopped_half_way_leaves_a_bundle_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    bundle = write_bundle(tmp_path)
    add_golden(bundle)
    monkeypatch.setattr(golden, "draw_phantoms", lambda h, w: np.zeros((4, h, w, 1), np.uint8))
    left, replace = [writes], Path.replace

    def stops(draft: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", stops)
    with pytest.raises(KeyboardInterrupt):
        add_golden(bundle)

    verify(bundle)
    monkeypatch.undo()
    add_golden(bundle)
    assert verify(bundle).golden_digest is not None


def verify(bundle: Path) -> ModelManifest:
    manifest = read_manifest(bundle)
    read_verified_model(bundle, manifest)
    read_golden(bundle, manifest)
    return manifest


def test_a_bundle_that_is_not_what_its_manifest_says_gets_none(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    moved = bundle.rename(bundle.parent / "7")
    content = (moved / MANIFEST_FILE).read_bytes()

    with pytest.raises(VerificationError):
        add_golden(moved)

    assert (moved / MANIFEST_FILE).read_bytes() == content
    assert {path.name for path in moved.iterdir()} == {MANIFEST_FILE, MODEL_FILE}
