"""Keys and UIDs that follow from what a result is of, so that doing it again makes the same."""

import hashlib
import uuid
from collections.abc import Iterable


def image_key(sop_uid: str, frame: int, model_digest: str) -> str:
    """The key of the result for one frame: 64 hexadecimal digits."""
    return _digest("image", sop_uid, str(frame), model_digest)


def series_key(series_uid: str, sop_uids: Iterable[str], model_digest: str) -> str:
    """The key of the result for a series as far as it has arrived."""
    return _digest("series", series_uid, *sorted(sop_uids), model_digest)


def derived_uid(key: str, role: str) -> str:
    """A UID for an object, a series or a finding of the result with this key.

    Source: DICOM PS3.5 B.2, ITU-T X.667: the number of a UUID below 2.25.
    """
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{key}/{role}').int}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
