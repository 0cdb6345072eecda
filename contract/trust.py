"""A detached signature over a bundle's manifest, which holds the digest of every other file.

Source: RFC 8032 (Ed25519); keys as PEM by RFC 8410.
"""

import base64
from pathlib import Path

from contract.errors import InvalidKey, UntrustedBundle

SIGNATURE = "manifest.sig"


def sign_bundle(bundle: Path, private_key: bytes) -> Path:
    """Sign the manifest of a bundle with an Ed25519 key in PEM; return the signature's file.

    Raises:
        InvalidKey: It is no such key.
        OSError: The manifest cannot be read, or the signature not be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key, None)
    except (ValueError, TypeError) as error:
        raise InvalidKey(f"The key cannot be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidKey("The key is not one of Ed25519.")
    file = bundle / SIGNATURE
    file.write_bytes(base64.b64encode(key.sign((bundle / "manifest.json").read_bytes())) + b"\n")
    return file


def check_trusted(bundle: Path, public_key: bytes) -> None:
    """See that the holder of a key has signed a bundle as it is now.

    Raises:
        InvalidKey: The key is not one of Ed25519 in PEM.
        UntrustedBundle: There is no signature, or it is not over this manifest by this key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key)
    except ValueError as error:
        raise InvalidKey(f"The trusted key cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidKey("The trusted key is not one of Ed25519.")
    name = f"{bundle.parent.name}/{bundle.name}"
    try:
        signature = base64.b64decode((bundle / SIGNATURE).read_bytes(), validate=False)
        key.verify(signature, (bundle / "manifest.json").read_bytes())
    except OSError as error:
        raise UntrustedBundle(f"{name} is not signed: it has no {SIGNATURE}.") from error
    except (InvalidSignature, ValueError) as error:
        words = f"{name} has a {SIGNATURE} that the trusted key did not make."
        raise UntrustedBundle(words) from error
