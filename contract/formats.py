"""Which format is this? The content decides; no file name or declared type is ever asked."""

import re
from typing import Literal

from contract.errors import NotAnImage, UnsupportedFormat

Format = Literal["JPEG", "PNG", "TIFF", "DICOM"]

_DECODED: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    # BigTIFF, for files beyond 4 GiB, is written for smaller ones too.
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
# Named in the answer, so that a sender learns what to convert.
_KNOWN = (
    (rb"GIF8[79]a", "GIF"),
    (rb"BM.{4}\0\0\0\0", "BMP"),
    (rb"RIFF.{4}WEBP", "WebP"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL"),
    (rb".{4}ftyp(?:heic|heix|heim|hevc|mif1|msf1)", "HEIC"),
    (rb".{4}ftypavi[fs]", "AVIF"),
    (rb"8BPS\0", "Photoshop"),
    (rb"\0\0[\1\2]\0.\0", "ICO"),
    (rb"P[1-7]\s", "PNM"),
    (rb"NRRD000", "NRRD"),
    (rb".{344}n[+i]1\0", "NIfTI"),
    (rb"SIMPLE  =", "FITS"),
    (rb"\x1f\x8b\x08", "gzip"),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "ZIP"),
    (rb"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (rb"Rar!\x1a\x07", "RAR"),
    (rb"BZh[1-9]1AY&SY", "bzip2"),
    (rb"\xfd7zXZ\0", "xz"),
    (rb"\x28\xb5\x2f\xfd", "Zstandard"),
    (rb".{257}ustar", "tar"),
    (rb"\s*%PDF-", "PDF"),
    (rb".{4}ftyp", "MP4"),
)
_PACKED = frozenset({"gzip", "ZIP", "7-Zip", "RAR", "bzip2", "xz", "Zstandard", "tar"})
# A data set begins with a group of file meta information or of identification.
_FIRST_TAG = re.compile(rb"(?:\x02\0|\x08\0).\0", re.DOTALL)
_FIRST_TAG_BIG_ENDIAN = re.compile(rb"\0\x08\0.", re.DOTALL)
_VALUE_REPRESENTATION = re.compile(rb"AE|CS|DA|LO|OB|PN|SH|SQ|TM|UI|UL|US")
_UNDEFINED_LENGTH = 0xFFFFFFFF


def sniff(data: bytes) -> Format:
    """Name the format of an image by its first bytes. Source: DICOM PS3.10 7.1."""
    if b"DICM" in (data[128:132], data[:4]) or _is_bare_data_set(data):
        return "DICOM"
    for magic, name in _DECODED:
        if data.startswith(magic):
            return name
    for pattern, known in _KNOWN:
        if re.match(pattern, data, re.DOTALL):
            advice = "Unpack it and send" if known in _PACKED else "Send"
            raise UnsupportedFormat(
                f"{known} is not decoded here. {advice} DICOM, JPEG, PNG or TIFF."
            )
    raise NotAnImage("The bytes are no image: neither DICOM, JPEG, PNG nor TIFF.")


def _is_bare_data_set(data: bytes) -> bool:
    """Recognise a DICOM data set without preamble and prefix by its first element."""
    little = _FIRST_TAG.match(data) is not None
    if not little and _FIRST_TAG_BIG_ENDIAN.match(data) is None:
        return False
    if _VALUE_REPRESENTATION.match(data, 4):
        return True
    length = int.from_bytes(data[4:8], "little")
    return little and len(data) > 8 and (length == _UNDEFINED_LENGTH or length <= len(data) - 8)
