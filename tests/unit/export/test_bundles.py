"""What a bundle gets after its export: golden answers, and what newer exports have."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from onnx import numpy_helper

from contract.golden import read_golden
from contract.manifest import QUALITY, read_manifest
from contract.quality import measure_pixels
from contract.trust import SIGNATURE, sign_bundle
from export import bundle as bundles
from export import store
from export.bundle import refresh_bundle
from export.errors import ExportError, ParityError
from export.quality_graph import OUTPUT
from export.session import run_in_batches
from export.store import draw_phantoms
from export.verify import open_bundle
from tests.bundles import add_variant, expected_pneumonia, write_bundle


def refresh(bundle: Path) -> Path:
    """Refresh a bundle, and give the folder of the latest version."""
    list(refresh_bundle(bundle))
    return max(folder for folder in bundle.parent.iterdir() if folder.name.isdecimal())


def test_the_phantoms_are_alike_at_every_size_and_differ_from_each_other() -> None:
    small, large = draw_phantoms(32, 48), draw_phantoms(64, 96)

    assert small.shape == (4, 32, 48, 1)
    assert small.dtype == np.uint8
    blocks = large.reshape(4, 32, 2, 48, 2).mean(axis=(2, 4), dtype=np.float64)
    assert np.abs(blocks - small[..., 0]).max() < 6
    assert len({picture.tobytes() for picture in small}) == 4


def test_a_refreshed_bundle_measures_quality_and_has_golden_answers(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, ood_limit=200)
    add_variant(bundle, "int8")
    before = read_manifest(bundle)

    refreshed = refresh(bundle)

    manifest, session = open_bundle(refreshed)
    golden = read_golden(refreshed, manifest)
    assert golden is not None
    expected = [expected_pneumonia(image) for image in golden.images]
    for precision in ("fp32", "int8"):
        np.testing.assert_allclose(golden.probabilities[precision][:, 1], expected, atol=1e-5)
    found = run_in_batches(session, golden.images)[QUALITY]
    measured = [measure_pixels(image[..., 0]) for image in golden.images]
    np.testing.assert_allclose(found, measured, atol=1e-5)
    kept = ("name", "metrics", "findings", "out_of_distribution")
    assert all(getattr(manifest, name) == getattr(before, name) for name in kept)
    assert (manifest.version, read_manifest(bundle)) == (before.version + 1, before)
    assert OUTPUT in manifest.signature.outputs
    assert QUALITY in (refreshed.parent / "config.pbtxt").read_text()
    # A second time changes nothing.
    first = {file.name: file.read_bytes() for file in refreshed.iterdir()}
    assert refresh(refreshed) == refreshed
    assert {file.name: file.read_bytes() for file in refreshed.iterdir()} == first


def test_a_refreshed_bundle_must_be_signed_again_and_the_older_one_is_not_refreshed_past_it(
    tmp_path: Path,
) -> None:
    bundle = write_bundle(tmp_path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sign_bundle(bundle, pem)

    later = refresh(bundle)

    assert (bundle / SIGNATURE).is_file()
    assert not (later / SIGNATURE).exists()
    with pytest.raises(ExportError, match="later version, 2: refresh that one"):
        refresh(bundle)
    assert sorted(bundle.parent.glob("[0-9]*")) == [bundle, later]


def test_a_refresh_that_answers_otherwise_or_is_stopped_leaves_the_bundle_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path)
    before = {file.name: file.read_bytes() for file in bundle.iterdir()}

    def spoilt(proto: onnx.ModelProto, _: object) -> onnx.ModelProto:
        other = onnx.load_from_string(proto.SerializeToString())
        [nothing] = [tensor for tensor in other.graph.initializer if tensor.name == "nothing"]
        values = np.asarray(numpy_helper.to_array(nothing) + np.float32(0.01), np.float32)
        nothing.CopyFrom(numpy_helper.from_array(values, "nothing"))
        return other

    def stops(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bundles, "add_quality", spoilt)
        with pytest.raises(ParityError, match="would differ"):
            refresh(bundle)
    monkeypatch.setattr(store, "model_card", stops)
    with pytest.raises(KeyboardInterrupt):
        refresh(bundle)

    assert {file.name: file.read_bytes() for file in bundle.iterdir()} == before
    assert list(bundle.parent.iterdir()) == [bundle]
