"""Bundles that a key has signed, by the command that signs and the service that trusts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from contract.errors import InvalidKey, ManifestError, UntrustedBundle
from contract.trust import SIGNATURE, check_trusted, sign_bundle
from export.cli import app as export_app
from service.runtime import open_repository
from service.settings import Settings
from tests.bundles import write_bundle
from tests.integration.live import key_of, problem, serving

RSA = generate_private_key(65537, 2048)


def private(key: Ed25519PrivateKey | RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public(key: Ed25519PrivateKey | RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public one, as files."""
    key = Ed25519PrivateKey.generate()
    secret, trusted = tmp_path / "private.pem", tmp_path / "trusted.pem"
    secret.write_bytes(private(key))
    trusted.write_bytes(public(key))
    return secret, trusted


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_bundle(folder, "tiny", 1)
    return folder


def test_a_bundle_that_the_command_has_signed_is_served(
    models: Path, keys: tuple[Path, Path]
) -> None:
    arguments = ("sign", models / "tiny" / "1", "--key", keys[0])
    subprocess.run([sys.executable, "-m", "export", *arguments], check=True, capture_output=True)
    repository = open_repository(Settings(models_dir=models, trusted_key_file=keys[1]))
    assert [model.bundle for model in repository.all()] == ["tiny/1"]


def test_a_bundle_that_is_not_signed_stops_the_start(models: Path, keys: tuple[Path, Path]) -> None:
    with pytest.raises(UntrustedBundle, match="tiny/1 is not signed"):
        open_repository(Settings(models_dir=models, trusted_key_file=keys[1]))


@pytest.mark.parametrize("what", ["manifest", "signature", "key"])
def test_what_was_altered_since_is_refused(
    models: Path, keys: tuple[Path, Path], what: str
) -> None:
    bundle = models / "tiny" / "1"
    other = private(Ed25519PrivateKey.generate())
    sign_bundle(bundle, other if what == "key" else keys[0].read_bytes())
    if what == "manifest":
        manifest = json.loads((bundle / "manifest.json").read_text())
        manifest["findings"][0]["operating_point"] = 0.01
        (bundle / "manifest.json").write_text(json.dumps(manifest))
    if what == "signature":
        (bundle / SIGNATURE).write_bytes(b"AAAA" + (bundle / SIGNATURE).read_bytes()[4:])
    with pytest.raises(ManifestError, match="the trusted key did not make"):
        open_repository(Settings(models_dir=models, trusted_key_file=keys[1]))


def test_a_new_bundle_without_a_signature_is_refused_while_the_old_one_serves(
    models: Path, keys: tuple[Path, Path]
) -> None:
    sign_bundle(models / "tiny" / "1", keys[0].read_bytes())
    held = {"boss": key_of("boss", ["admin", "read"])}
    settings = Settings(
        models_dir=models, port=0, trusted_key_file=keys[1], api_keys=json.dumps(held)
    )
    headers = {"Authorization": "Bearer boss"}
    with serving(settings) as live:
        write_bundle(models, "tiny", 2)
        done = live.client.post("/models/reload", headers=headers).json()
        assert [each["bundle"] for each in done["refused"]] == ["tiny/2"]
        assert "is not signed" in done["refused"][0]["reason"]
        assert problem(live.client.get("/models/tiny/versions/2", headers=headers))[0] == 404


@pytest.mark.parametrize("key", [b"", b"no key", private(RSA)])
def test_what_is_no_key_of_the_kind_is_refused(models: Path, key: bytes) -> None:
    with pytest.raises(InvalidKey):
        sign_bundle(models / "tiny" / "1", key)
    with pytest.raises(InvalidKey):
        check_trusted(models / "tiny" / "1", key)
    with pytest.raises(InvalidKey, match="not one of Ed25519"):
        check_trusted(models / "tiny" / "1", public(RSA))


def test_a_key_that_is_not_there_is_one_line(models: Path, tmp_path: Path) -> None:
    arguments = ["sign", str(models / "tiny" / "1"), "--key", str(tmp_path / "none.pem")]

    done = CliRunner().invoke(export_app, arguments)

    assert done.exit_code == 1
    assert done.stderr.startswith("pneumo-export: ")
    assert "none.pem" in done.stderr
    assert done.stderr.count("\n") == 1
