"""Which encodings of DICOM pixel data can be decoded here."""

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes

from contract.errors import UnsupportedTransferSyntax


def decodable_transfer_syntaxes() -> tuple[str, ...]:
    """List the UIDs of the transfer syntaxes for which a decoder is registered and installed.

    pydicom's decoders are plug-ins that may be missing; a service asks at its start.
    """
    return tuple(sorted(str(uid) for uid in AllTransferSyntaxes if _is_decodable(uid)))


def check_transfer_syntax(uid: UID) -> None:
    """Check that pixel data in this encoding can be decoded.

    Raises:
        UnsupportedTransferSyntax: It cannot; the message names the encoding.
    """
    if not _is_decodable(uid):
        # What is no well-formed UID may be anything, even a name.
        name = f"{uid.name} ({uid})" if uid.name != uid else str(uid)
        shown = name if uid.is_valid else "that is no UID"
        raise UnsupportedTransferSyntax(f"There is no decoder for the transfer syntax {shown}.")


def _is_decodable(uid: UID) -> bool:
    try:
        return get_decoder(uid).is_available
    except NotImplementedError:
        return False
