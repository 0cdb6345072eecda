"""Decoded pixels against an independent encoder and PS3.3 written out in NumPy: a matrix of kinds.

imagecodecs brings CharLS, OpenJPEG, OpenJPH and its own lossless JPEG; it shares no code with what
decodes here. ``docs/pixels.md`` has the table that this proves.
"""

import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import uid

from contract.errors import CorruptImage
from contract.radiograph import decode
from tests.odd_files import as_lut_item, with_transfer_syntax
from tests.synthetic import as_dicom, synthetic_radiograph

CHEST = synthetic_radiograph(40, 52).astype(np.int64)
Stored = NDArray[Any]
Encoder = Callable[[NDArray[np.generic], int], bytes]


def rle(cells: NDArray[np.generic]) -> bytes:
    """Encode cells as literal runs, the high bytes first: DICOM PS3.5 annex G."""
    planes = cells.astype(cells.dtype.newbyteorder(">")).view(np.uint8).reshape(cells.size, -1).T
    segments = [
        b"".join(
            bytes([len(run) - 1]) + run
            for run in (plane.tobytes()[at : at + 128] for at in range(0, len(plane), 128))
        )
        for plane in planes
    ]
    offsets = [64 + sum(map(len, segments[:n])) for n in range(len(segments))]
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


def lossless_jpeg(cells: NDArray[np.generic], bits: int) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(cells, bitspersample=bits))


def jpeg_ls(cells: NDArray[np.generic], _bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(cells))


def jpeg_2000(cells: NDArray[np.generic], bits: int) -> bytes:
    options: dict[str, Any] = {"codecformat": "j2k", "level": 0, "bitspersample": bits}
    return bytes(imagecodecs.jpeg2k_encode(cells, reversible=True, **options))


def htj2k(cells: NDArray[np.generic], _bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(cells, reversible=True))


ENCODERS: dict[str, tuple[uid.UID, Encoder]] = {
    "JPEG Lossless": (uid.JPEGLosslessSV1, lossless_jpeg),
    "JPEG-LS": (uid.JPEGLSLossless, jpeg_ls),
    "JPEG 2000": (uid.JPEG2000Lossless, jpeg_2000),
    "HTJ2K": (uid.HTJ2KLossless, htj2k),
}
CODECS: dict[str, tuple[uid.UID, Encoder | None]] = {
    "native, little endian": (uid.ExplicitVRLittleEndian, None),
    "native, implicit VR": (uid.ImplicitVRLittleEndian, None),
    "native, big endian": (uid.ExplicitVRBigEndian, None),
    "deflated": (uid.DeflatedExplicitVRLittleEndian, None),
    "RLE": (uid.RLELossless, lambda cells, _bits: rle(cells)),
    **ENCODERS,
}
VOI = ("window", "table", "none")


def stored_values(bits: int, *, is_signed: bool) -> Stored:
    """A chest over the whole range of the stored bits."""
    full = 2**bits - 1
    values: Stored = np.rint((CHEST - CHEST.min()) / np.ptp(CHEST) * full).astype(np.int64)
    return np.asarray(values - 2 ** (bits - 1) if is_signed else values)


def expected_grays(stored: Stored, bits: int, voi: str, slope: int, inverse: str) -> Stored:
    """The grays by PS3.3, written out: rescale, then VOI, then the inversion."""
    values = stored * slope + (-100 if slope != 1 else 0)
    low, high = int(values.min()), int(values.max())
    if voi == "window":
        center, width = (low + high) / 2, (high - low) * 0.75
        shares = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    elif voi == "table":
        steps = table_entries(low, high)
        index = np.clip(np.rint(values) - low, 0, len(steps) - 1).astype(int)
        shares = np.asarray(steps)[index] / 4095
    elif bits == 8 and slope == 1 and stored.min() >= 0:
        shares = values / 255
    else:
        shares = (values - low) / (high - low)
    shares = 1 - shares if inverse == "MONOCHROME1" else shares
    return np.rint(shares * (255 if bits == 8 else 65535)).astype(np.int64)


def table_entries(low: int, high: int) -> list[int]:
    length = min(high - low + 1, 65535)
    return [round(4095 * (n / (length - 1)) ** 2) for n in range(length)]


def attributes(stored: Stored, bits: int, voi: str, slope: int) -> dict[str, object]:
    values = stored * slope + (-100 if slope != 1 else 0)
    low, high = int(values.min()), int(values.max())
    given: dict[str, object] = {"BitsStored": bits}
    if slope != 1:
        given |= {"RescaleSlope": slope, "RescaleIntercept": -100}
    if voi == "window":
        given |= {"WindowCenter": (low + high) / 2, "WindowWidth": (high - low) * 0.75}
    if voi == "table":
        item = as_lut_item(low, table_entries(low, high), 12, is_signed=low < 0)
        given["VOILUTSequence"] = [item]
    return given


@pytest.mark.parametrize("bits_stored", [8, 12, 16])
def test_a_signed_codestream_narrower_than_its_cell_keeps_its_sign(bits_stored: int) -> None:
    values = stored_values(8, is_signed=True)
    codestream = encode_array(values.astype(np.int8), photometric_interpretation=2, bits_stored=8)
    options: dict[str, object] = {"BitsStored": bits_stored}

    compressed = as_dicom(
        values.astype(np.int16),
        TransferSyntaxUID=uid.JPEG2000Lossless,
        PixelData=[codestream],
        **options,
    )

    native = decode(as_dicom(values.astype(np.int16), BitsStored=16))
    np.testing.assert_array_equal(decode(compressed).pixels, native.pixels)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_a_lossless_kind_has_exactly_the_grays_of_the_standard(
    codec: str, bits: int, *, is_signed: bool
) -> None:
    syntax, encode = CODECS[codec]
    stored = stored_values(bits, is_signed=is_signed)
    width = 8 if bits == 8 else 16
    cells = stored.astype(f"{'i' if is_signed else 'u'}{width // 8}")
    # Codestreams hold the stored bits alone, which the header says to be signed.
    masked = (stored & (2**bits - 1)).astype(f"u{width // 8}")
    encoded = {"PixelData": [encode(masked, bits)]} if encode else {}

    differences = []
    for voi, slope, inverse in itertools.product(VOI, (1, 2), ("MONOCHROME1", "MONOCHROME2")):
        if voi == "table" and slope * 2**bits > 65535:
            continue  # a table has no more entries
        data = as_dicom(
            cells,
            TransferSyntaxUID=syntax,
            PhotometricInterpretation=inverse,
            **attributes(stored, bits, voi, slope),
            **encoded,
        )
        found = decode(data).pixels.astype(np.int64)
        differences.append(np.abs(found - expected_grays(stored, bits, voi, slope, inverse)).max())

    assert len(differences) == 12 - 2 * (bits == 16) * (1 + (bits == 16))
    assert max(differences) == 0


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("kind", ["JPEG", "JPEG 2000", "JPEG-LS", "HTJ2K"])
def test_a_lossy_kind_has_the_grays_of_another_decoder(kind: str, bits: int) -> None:
    stored = stored_values(bits, is_signed=False)
    cells = stored.astype("u1" if bits == 8 else "u2")
    syntax, codestream, again = lossy(kind, cells, bits)
    data = as_dicom(
        cells,
        TransferSyntaxUID=syntax,
        PixelData=[codestream],
        BitsStored=bits,
        WindowCenter=2 ** (bits - 1),
        WindowWidth=2**bits,
    )

    found = decode(data).pixels.astype(np.int64)

    full = 255 if bits == 8 else 65535
    expected = np.rint(np.minimum(again, 2**bits - 1) / (2**bits - 1) * full)
    # Decoders of the same cosine transform may round to either side.
    assert np.abs(found - expected).max() <= full / (2**bits - 1) + 1


def lossy(kind: str, cells: NDArray[np.generic], bits: int) -> tuple[uid.UID, bytes, Stored]:
    """Encode with loss, and decode again with the same library."""
    if kind == "JPEG":
        coded = imagecodecs.jpeg_encode(cells, 90, bitspersample=bits)
        syntax = uid.JPEGBaseline8Bit if bits == 8 else uid.JPEGExtended12Bit
        return syntax, bytes(coded), imagecodecs.jpeg_decode(coded)
    if kind == "JPEG-LS":
        coded = imagecodecs.jpegls_encode(cells, level=2)
        return uid.JPEGLSNearLossless, bytes(coded), imagecodecs.jpegls_decode(coded)
    if kind == "HTJ2K":
        coded = imagecodecs.htj2k_encode(cells, level=0.001, reversible=False)
        return uid.HTJ2K, bytes(coded), imagecodecs.htj2k_decode(coded)
    coded = imagecodecs.jpeg2k_encode(cells, codecformat="j2k", level=40, bitspersample=bits)
    return uid.JPEG2000, bytes(coded), imagecodecs.jpeg2k_decode(coded)


@pytest.mark.parametrize("codec", ["native, little endian", "RLE", "JPEG-LS", "JPEG 2000"])
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_an_overlay_in_the_unused_bits_changes_nothing(codec: str, *, is_signed: bool) -> None:
    syntax, encode = CODECS[codec]
    stored = stored_values(12, is_signed=is_signed)
    overlay = np.random.default_rng(0).integers(0, 16, stored.shape) << 12
    cells = (stored & 4095 | overlay).astype(np.uint16)
    encoded = {"PixelData": [encode(cells, 16)]} if encode else {}
    window = attributes(stored, 12, "window", 1)
    signs = {"PixelRepresentation": int(is_signed)}

    found = decode(as_dicom(cells, TransferSyntaxUID=syntax, **window, **signs, **encoded)).pixels

    assert np.array_equal(found, expected_grays(stored, 12, "window", 1, "MONOCHROME2"))


@pytest.mark.parametrize("is_signed", [False, True])
def test_lossy_values_beyond_the_stored_bits_are_clipped(*, is_signed: bool) -> None:
    low, high = (-2048, 2047) if is_signed else (0, 4095)
    stored = np.random.default_rng(0).choice([low, high], (40, 52)).astype(np.int16)
    options: dict[str, Any] = {"codecformat": "j2k", "level": 45, "bitspersample": 16}
    shifted = (stored.astype(np.int64) + 32768).astype(np.uint16)
    codestream = bytearray(imagecodecs.jpeg2k_encode(shifted, reversible=False, **options))
    again = imagecodecs.jpeg2k_decode(bytes(codestream)).astype(np.int64) - 32768
    # Signed samples are what unsigned ones are after the shift of their level: ITU-T T.800 G.1.
    codestream[42] |= 0x80

    data = as_dicom(
        stored,
        TransferSyntaxUID=uid.JPEG2000,
        PixelData=[bytes(codestream)],
        BitsStored=12,
        PixelRepresentation=int(is_signed),
        WindowCenter=(low + high + 1) / 2,
        WindowWidth=4096,
    )

    assert again.min() < low
    assert again.max() > high
    expected = np.rint((np.clip(again, low, high) - low) / 4095 * 65535)
    assert np.array_equal(decode(data).pixels, expected)


def test_a_reversible_codestream_may_have_been_cut_short_unless_the_file_says_no() -> None:
    stored = stored_values(12, is_signed=False).astype(np.uint16)
    stored[0, 0], stored[0, 1] = 4096 + 7, 0
    window = {"WindowCenter": 2048, "WindowWidth": 4096, "BitsStored": 12}
    data = {"PixelData": [jpeg_2000(stored, 16)]}

    def corner(syntax: str, lossy: str) -> int:
        attributes = {"TransferSyntaxUID": syntax, "LossyImageCompression": lossy}
        return int(decode(as_dicom(stored, **attributes, **data, **window)).pixels[0, 0])

    assert corner(uid.JPEG2000, "01") == corner(uid.JPEG2000, "") == 65535
    masked = round(7 / 4095 * 65535)
    assert corner(uid.JPEG2000, "00") == corner(uid.JPEG2000Lossless, "01") == masked


PREDICTORS = Path(__file__).resolve().parents[1] / "cases" / "predictors"


@pytest.mark.parametrize("file", sorted(PREDICTORS.iterdir()), ids=lambda file: file.stem)
def test_every_predictor_and_point_transform_of_lossless_jpeg_is_read(file: Path) -> None:
    """DCMTK 3.6.7 encoded these: ``dcmcjpeg +el +sv PREDICTOR +pt BITS``."""
    _, _, number = file.stem.rpartition("-")
    lost = int(number) if file.stem.startswith("point") else 0
    stored = stored_values(12, is_signed=False) >> lost << lost

    assert np.array_equal(decode(file.read_bytes()).pixels, np.rint(stored * (65535 / 4095)))


@pytest.mark.parametrize("name", ENCODERS)
def test_an_end_marker_may_be_missing_and_a_pixel_may_not(name: str) -> None:
    stored = stored_values(12, is_signed=False).astype(np.uint16)
    syntax, encode = ENCODERS[name]
    codestream = encode(stored, 12)
    given = {"TransferSyntaxUID": syntax, "BitsStored": 12}
    whole = decode(as_dicom(stored, **given, PixelData=[codestream])).pixels

    unended = as_dicom(stored, **given, PixelData=[codestream[:-2]])

    assert np.array_equal(decode(unended).pixels, whole)
    for cut, end in itertools.product((6, 30, len(codestream) // 2), (b"", b"\xff\xd9")):
        with pytest.raises(CorruptImage):
            decode(as_dicom(stored, **given, PixelData=[codestream[:-cut] + end]))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("label", [uid.RLELossless, uid.JPEGBaseline8Bit, uid.HTJ2K])
def test_a_codestream_is_read_by_what_it_is(name: str, label: str) -> None:
    stored = stored_values(12, is_signed=False).astype(np.uint16)
    _, encode = ENCODERS[name]
    mislabelled = as_dicom(
        stored, TransferSyntaxUID=label, BitsStored=12, PixelData=[encode(stored, 12)]
    )

    assert np.array_equal(
        decode(mislabelled).pixels, decode(as_dicom(stored, BitsStored=12)).pixels
    )


@pytest.mark.parametrize("label", [uid.JPEG2000, uid.RLELossless])
def test_native_pixel_data_is_read_whatever_its_label_says(label: str) -> None:
    native = as_dicom(stored_values(12, is_signed=True).astype(np.int16), BitsStored=12)

    mislabelled = with_transfer_syntax(native, label)

    assert np.array_equal(decode(mislabelled).pixels, decode(native).pixels)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_8_bit_codestream_fills_16_bit_cells(name: str) -> None:
    stored = stored_values(8, is_signed=False)
    syntax, encode = ENCODERS[name]
    coded = [encode(stored.astype(np.uint8), 8)]
    data = as_dicom(
        stored.astype(np.uint16), TransferSyntaxUID=syntax, BitsStored=8, PixelData=coded
    )

    assert np.array_equal(decode(data).pixels, stored * 257)
