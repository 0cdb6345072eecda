"""DICOM images, read with pydicom and decoded with its plug-ins."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    RLELossless,
)

from contract.codestream import (
    CodestreamHeader,
    is_complete,
    read_jpeg2000_header,
    read_jpeg_header,
)
from contract.dicom_facts import DicomFacts, read_facts
from contract.dicom_file import read_image_data_set
from contract.dicom_header import MONOCHROME, PALETTE_COLOR, ImageHeader, read_header
from contract.errors import (
    ContractError,
    CorruptImage,
    ImageError,
    PixelDataMismatch,
)
from contract.frame import Frame, check_budget, check_frame_number
from contract.grayscale import frame_attributes, to_gray
from contract.lookup_tables import read_palette_as_gray
from contract.pixels import GrayPixels, Samples, in_row_blocks, luma, widen
from contract.silence import silence_imaging_libraries


def read_dicom(data: bytes, *, frame: int, max_pixels: int) -> tuple[Frame, DicomFacts]:
    """Decode one frame of a DICOM image, and only that frame.

    Args:
        data: The file, with or without preamble.
        frame: From 1.
        max_pixels: The budget, rows times columns.

    Returns:
        Gray pixels, uint8 or uint16 as in ``Radiograph``, and the facts.

    Raises:
        CorruptImage: Truncated or damaged.
        PixelDataMismatch: The pixel data and its header do not agree.
        NoPixelData: The object is no image.
        UnsupportedTransferSyntax: No decoder is registered for the encoding.
        UnsupportedFormat: A retired photometric interpretation or an indirect palette.
        FrameOutOfRange: There is no such frame.
        TooManyPixels: The header claims more than the budget.
        MemoryError: The machine has less memory left than the budget takes.
    """
    silence_imaging_libraries()
    with _pydicom_errors(CorruptImage, "The DICOM file is truncated or damaged."):
        dataset = read_image_data_set(data, max_pixels)
    with _pydicom_errors(PixelDataMismatch, "An attribute of the DICOM image is malformed."):
        header = read_header(dataset)
        check_frame_number(frame, header.frames)
        check_budget(
            header.rows, header.columns, max_pixels, bytes_per_pixel=header.bytes_per_pixel
        )
        attributes = frame_attributes(dataset, frame)
        facts = read_facts(attributes, header)
    stored, color_space = _stored_values(dataset, header, frame)
    with _pydicom_errors(PixelDataMismatch, "A look-up table of the DICOM image is malformed."):
        pixels = _to_gray(stored, color_space, attributes, header)
    return Frame(pixels, header.rows, header.columns, header.frames), facts


@contextmanager
def _pydicom_errors(kind: type[ImageError], message: str) -> Iterator[None]:
    """Translate whatever pydicom and its plug-ins raise; their words may quote the file.

    The RLE plug-in is written in Rust, and its panics are no ``Exception``.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except (ContractError, MemoryError):
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise kind(message) from error
        raise


def _stored_values(dataset: FileDataset, header: ImageHeader, frame: int) -> tuple[Samples, str]:
    """Decode one frame.

    Returns:
        Stored values in the machine's byte order, shape (rows, columns) or (rows, columns, 3),
        and the photometric interpretation that they are in.

    Source: DICOM PS3.5 8 and annex A.
    """
    syntax = header.transfer_syntax
    if not syntax.is_encapsulated:
        return _decode(dataset, header, frame, PixelDataMismatch)
    with _pydicom_errors(CorruptImage, "The compressed pixel data is truncated or damaged."):
        codestream = _check_codestream(dataset, header, frame)
    return _decode(dataset, header, frame, CorruptImage, _plug_in(syntax, codestream))


def _decode(
    dataset: FileDataset,
    header: ImageHeader,
    frame: int,
    kind: type[ImageError],
    plug_in: str = "",
) -> tuple[Samples, str]:
    unused = header.unused_low_bits
    with _pydicom_errors(kind, "The pixel data does not agree with its header, or is damaged."):
        stored, properties = get_decoder(header.transfer_syntax).as_array(
            dataset,
            index=frame - 1,
            raw=True,
            # pydicom clears the bits above the stored value, and knows none below it. It types
            # each option as all of them.
            bits_stored=header.bits_stored + unused,  # type: ignore[arg-type]
            view_only=not unused,  # type: ignore[arg-type]
            decoding_plugin=plug_in,
        )
    if unused:
        # The shift keeps the sign of a signed value.
        np.right_shift(stored, unused, out=stored)
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return native, str(properties["photometric_interpretation"])


def _check_codestream(
    dataset: FileDataset, header: ImageHeader, frame: int
) -> CodestreamHeader | None:
    """Compare what a codestream claims with what the data set says, before a decoder allocates it.

    Raises:
        CorruptImage: It has no beginning or no end.
        PixelDataMismatch: It claims another size or depth.
    """
    if header.transfer_syntax == RLELossless:
        return None  # a run of bytes claims nothing, and the decoder stops at the size of the frame
    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    codestream = get_frame(
        dataset["PixelData"].value,
        frame - 1,
        number_of_frames=header.frames,
        extended_offsets=None if None in offsets else offsets,
    )
    is_jpeg_2000 = header.transfer_syntax in JPEG2000TransferSyntaxes
    claim = read_jpeg2000_header(codestream) if is_jpeg_2000 else read_jpeg_header(codestream)
    if claim is None or not is_complete(codestream):
        raise CorruptImage("The compressed pixel data is truncated or damaged.")
    size = (header.rows, header.columns, header.samples_per_pixel)
    if (claim.rows, claim.columns, claim.components) != size:
        raise PixelDataMismatch(
            f"The compressed image has {claim.rows} x {claim.columns} pixels of {claim.components} "
            f"samples, its header says {size[0]} x {size[1]} of {size[2]}."
        )
    if claim.precision > header.bits_allocated:
        raise PixelDataMismatch("The compressed samples are deeper than their header says.")
    return claim


def _plug_in(syntax: UID, codestream: CodestreamHeader | None) -> str:
    """Choose a decoder where not all are equal; an empty name leaves the choice to pydicom.

    Pillow decodes baseline JPEG in a third of the time, and notices a lost end. pydicom's own RLE
    decoder puts no bound on what a run may expand to.
    """
    if syntax == RLELossless:
        return "pylibjpeg"
    if syntax == JPEGBaseline8Bit and codestream is not None and codestream.is_common_jpeg:
        return "pillow"
    return ""


def _to_gray(
    stored: Samples, color_space: str, attributes: Dataset, header: ImageHeader
) -> GrayPixels:
    is_little_endian = header.transfer_syntax.is_little_endian
    if header.photometric_interpretation in MONOCHROME:
        return to_gray(stored, attributes, header, is_little_endian=is_little_endian)
    if header.photometric_interpretation == PALETTE_COLOR:
        first, grays = read_palette_as_gray(attributes, is_little_endian=is_little_endian)
        return in_row_blocks(
            lambda block: grays[np.clip(block.astype(np.int64) - first, 0, len(grays) - 1)], stored
        )
    samples: GrayPixels = stored.astype(f"u{header.bits_allocated // 8}", copy=False)
    if color_space == "RGB":
        return in_row_blocks(lambda block: luma(widen(block, header.bits_stored)), samples)
    # The Y of YBR is the luma already.
    return widen(np.ascontiguousarray(samples[..., 0]), header.bits_stored)
