from pathlib import Path

import pytest

from contract.manifest import read_manifest
from export import store
from export.errors import BundleExists
from export.store import next_version, write_bundle
from tests.bundles import make_manifest

MANIFEST = make_manifest("sha256:" + 64 * "0")


def test_a_bundle_holds_the_model_its_manifest_and_its_card(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, MANIFEST, b"a graph", golden=b"answers")

    assert bundle == tmp_path / "tiny" / "1"
    assert sorted(file.name for file in bundle.iterdir()) == [
        "golden.npz",
        "manifest.json",
        "model-card.md",
        "model.onnx",
    ]
    assert read_manifest(bundle) == MANIFEST


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    write_bundle(tmp_path, MANIFEST, b"first")

    with pytest.raises(BundleExists, match="tiny version 1"):
        write_bundle(tmp_path, MANIFEST, b"second")

    assert (tmp_path / "tiny" / "1" / "model.onnx").read_bytes() == b"first"


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "model_card", full_disk)

    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path, MANIFEST, b"model")

    assert list((tmp_path / "tiny").iterdir()) == []


@pytest.mark.parametrize(("there", "expected"), [([], 1), (["1", "2"], 3), (["9", "10"], 11)])
def test_the_next_version_follows_the_highest(
    tmp_path: Path, there: list[str], expected: int
) -> None:
    for version in [*there, ".draft-x"]:
        (tmp_path / "tiny" / version).mkdir(parents=True)

    assert next_version(tmp_path, "tiny") == expected
