"""The attributes that describe a DICOM image's pixel data, checked before any of it is decoded."""

from dataclasses import dataclass

import numpy as np
from pydicom.datadict import dictionary_description
from pydicom.dataset import FileDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from contract.errors import PixelDataMismatch, UnsupportedFormat, UnsupportedTransferSyntax
from contract.pixels import Values

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
# A reversible codestream that was cut short is lossy too; only the file can tell that none was.
_MAY_BE_LOSSY = frozenset({JPEG2000, HTJ2K})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
PALETTE_COLOR = "PALETTE COLOR"
_NOT_DECODED = frozenset({"HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The Image Pixel module of one image. Source: DICOM PS3.3 C.7.6.3.

    ``is_encapsulated`` tells how the pixels lie in the file, whatever the transfer syntax says.
    ``is_lossy`` tells that they were compressed with loss, even in a reversible way.
    """

    transfer_syntax: UID
    rows: int
    columns: int
    frames: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_encapsulated: bool
    is_lossy: bool

    @property
    def is_little_endian(self) -> bool:
        """The byte order of the file, and of its tables."""
        return self.transfer_syntax.is_little_endian

    @property
    def unused_low_bits(self) -> int:
        """How many bits lie below the stored value in its cell. Source: PS3.5 8.1.1 and 8.2."""
        # Codestreams hold values and no cells, whatever High Bit says. RLE packs those of cells.
        has_cells = not self.is_encapsulated or self.transfer_syntax == RLELossless
        return self.high_bit + 1 - self.bits_stored if has_cells else 0

    @property
    def stored_range(self) -> tuple[float, float]:
        """The smallest and the largest value that the stored bits can hold."""
        span = 2.0**self.bits_stored
        lowest = -span / 2 if self.is_signed else 0.0
        return lowest, lowest + span - 1

    def as_stored(self, values: Values) -> Values:
        """Read values that were written with the other sign as the same bits of a cell."""
        span = 2.0**self.bits_allocated
        lowest = -span / 2 if self.is_signed else 0.0
        return np.asarray((values - lowest) % span + lowest)


def read_header(dataset: FileDataset) -> ImageHeader:
    """Read and check what describes the pixel data."""
    bits_stored = _whole_number(dataset, "BitsStored")
    header = ImageHeader(
        transfer_syntax=_transfer_syntax(dataset),
        rows=_whole_number(dataset, "Rows"),
        columns=_whole_number(dataset, "Columns"),
        frames=_whole_number(dataset, "NumberOfFrames") if dataset.get("NumberOfFrames") else 1,
        samples_per_pixel=_whole_number(dataset, "SamplesPerPixel"),
        photometric_interpretation=_photometric_interpretation(dataset),
        bits_allocated=_whole_number(dataset, "BitsAllocated"),
        bits_stored=bits_stored,
        high_bit=int(dataset.get("HighBit", bits_stored - 1)),
        is_signed=_whole_number(dataset, "PixelRepresentation") == 1,
        is_encapsulated=dataset["PixelData"].is_undefined_length,
        is_lossy=dataset.get("LossyImageCompression") != "00"
        and dataset.file_meta.get("TransferSyntaxUID") in _MAY_BE_LOSSY,
    )
    _check(header)
    return header


def _check(header: ImageHeader) -> None:
    """Compare the attributes with one another. Source: DICOM PS3.3 C.7.6.3.1, PS3.5 8.1.1."""
    has_one_sample = header.photometric_interpretation not in _COLOUR
    if min(header.rows, header.columns, header.frames) < 1:
        raise PixelDataMismatch("Rows, Columns or Number of Frames is below 1.")
    if header.samples_per_pixel != (1 if has_one_sample else 3):
        raise PixelDataMismatch(
            f"{header.photometric_interpretation} does not have "
            f"{header.samples_per_pixel} samples per pixel."
        )
    if has_one_sample and header.bits_allocated in {32, 64}:
        raise UnsupportedFormat(
            f"{header.bits_allocated} bits allocated are not decoded here. Send 8 or 16."
        )
    if header.bits_allocated not in ({1, 8, 16} if has_one_sample else {8, 16}):
        raise PixelDataMismatch(f"{header.bits_allocated} bits allocated are not possible here.")
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise PixelDataMismatch(
            f"{header.bits_stored} bits stored do not fit {header.bits_allocated} bits allocated."
        )
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise PixelDataMismatch(
            f"{header.bits_stored} bits stored do not fit below the high bit {header.high_bit} of "
            f"{header.bits_allocated} bits allocated."
        )
    if header.is_signed and header.photometric_interpretation not in MONOCHROME:
        raise PixelDataMismatch("Colour samples cannot be signed.")


def _whole_number(dataset: FileDataset, keyword: str) -> int:
    value, name = dataset.get(keyword), dictionary_description(keyword)
    # pydicom takes larger ones. Source: DICOM PS3.5 6.2 (IS).
    if not isinstance(value, int) or value >= 2**31:
        raise PixelDataMismatch(f"{name} is missing or no number that DICOM may hold.")
    return int(value)


def _photometric_interpretation(dataset: FileDataset) -> str:
    name = str(dataset.get("PhotometricInterpretation", ""))
    if name in _NOT_DECODED:
        raise UnsupportedFormat(
            f"The photometric interpretation {name} is not decoded here. Send MONOCHROME2 or RGB."
        )
    if name not in _COLOUR | MONOCHROME | {PALETTE_COLOR}:
        raise PixelDataMismatch("Photometric Interpretation is missing or unknown.")
    return name


def _transfer_syntax(dataset: FileDataset) -> UID:
    """Name the encoding, or infer it where the file does not. Source: DICOM PS3.5 A.4."""
    if named := dataset.file_meta.get("TransferSyntaxUID"):
        syntax = UID(named)
        try:
            get_decoder(syntax)
        except NotImplementedError as error:
            # What is no well-formed UID may be anything, even a name.
            shown = f"{syntax.name} ({syntax})" if syntax.is_valid else "that is no UID"
            raise UnsupportedTransferSyntax(
                f"There is no decoder for the transfer syntax {shown}."
            ) from error
        return syntax
    if dataset["PixelData"].is_undefined_length:
        raise UnsupportedTransferSyntax(
            "The pixel data is compressed, and no transfer syntax says how."
        )
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
