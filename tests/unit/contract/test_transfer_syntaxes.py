import pytest
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from contract.errors import UnsupportedTransferSyntax
from contract.transfer_syntaxes import check_transfer_syntax, decodable_transfer_syntaxes


def test_every_encoding_of_radiography_can_be_decoded() -> None:
    needed = {
        *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian),
        *(DeflatedExplicitVRLittleEndian, RLELossless, JPEGBaseline8Bit, JPEGExtended12Bit),
        *(JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, HTJ2KLossless),
    }

    assert needed <= set(decodable_transfer_syntaxes())


def test_video_cannot_be_decoded() -> None:
    assert MPEG2MPML not in decodable_transfer_syntaxes()


@pytest.mark.parametrize("uid", decodable_transfer_syntaxes())
def test_what_is_listed_passes_the_check(uid: str) -> None:
    check_transfer_syntax(UID(uid))


def test_a_syntax_whose_decoder_is_not_installed_is_unsupported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pydicom.pixels.common.CoderBase.is_available", False)

    assert decodable_transfer_syntaxes() == ()
    with pytest.raises(UnsupportedTransferSyntax, match=r"RLE Lossless \(1\.2\.840"):
        check_transfer_syntax(RLELossless)
