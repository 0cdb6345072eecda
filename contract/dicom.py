"""DICOM images, read with pydicom and decoded with its plug-ins.

A codestream is decoded by what it is and as it describes itself; its samples are then fitted to
what the data set says of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from contract.codestream import CodestreamHeader, completed
from contract.cost import check_codestream, check_frame_number
from contract.dicom_facts import read_facts
from contract.dicom_file import read_image_data_set
from contract.dicom_header import MONOCHROME, PALETTE_COLOR, ImageHeader, read_header
from contract.errors import ContractError, CorruptImage, ImageError, PixelDataMismatch
from contract.frame import Radiograph
from contract.grayscale import frame_attributes, gray_table, palette_grays
from contract.jpeg import jpeg_grays
from contract.pixels import GrayPixels, Values, in_row_blocks, look_up, luma, widen

Cells = NDArray[Any]


def read_dicom(data: bytes, *, frame: int) -> Radiograph:
    """Decode one frame of a DICOM image, whose cost was checked, and only that frame, from 1."""
    with _pydicom_errors(CorruptImage, "The DICOM file is truncated or damaged."):
        dataset = read_image_data_set(data)
    with _pydicom_errors(PixelDataMismatch, "An attribute of the DICOM image is malformed."):
        header = read_header(dataset)
        check_frame_number(frame, header.frames)
        attributes = frame_attributes(dataset, frame)
        facts = read_facts(attributes, header)
    cells, stored, color_space = _decode(dataset, header, frame)
    with _pydicom_errors(PixelDataMismatch, "A look-up table of the DICOM image is malformed."):
        if header.photometric_interpretation in MONOCHROME:
            grays = gray_table(stored, cells, attributes, header, is_ct=facts.modality == "CT")
        elif header.photometric_interpretation == PALETTE_COLOR:
            grays = palette_grays(stored, attributes, header)
        else:
            samples: GrayPixels = stored.astype(f"u{header.bits_allocated // 8}")
            grays = widen(samples, header.bits_stored)
        if color_space == "RGB":
            pixels = in_row_blocks(lambda block: luma(grays[block]), cells)
        else:
            # The Y of YBR is the luma already.
            pixels = look_up(grays, cells if cells.ndim == 2 else cells[..., 0])
    upright = facts.turned.apply(pixels)
    rows, columns = upright.shape
    return Radiograph(upright, "DICOM", rows, columns, frame, header.frames, facts)


@contextmanager
def _pydicom_errors(kind: type[ImageError], message: str) -> Iterator[None]:
    """Translate whatever pydicom and its plug-ins raise; their words may quote the file."""
    try:
        with np.errstate(all="ignore"):
            yield
    except (ContractError, MemoryError):
        raise
    except BaseException as error:
        # The RLE plug-in is written in Rust.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise kind(message) from error
        raise


def _decode(dataset: FileDataset, header: ImageHeader, frame: int) -> tuple[Cells, Values, str]:
    """Decode to unsigned cells, the stored value of each possible one, and their interpretation."""
    claim = None
    if not header.is_encapsulated:
        with _pydicom_errors(PixelDataMismatch, "The pixel data does not agree with its header."):
            cells, color_space = _native_cells(dataset, header, frame)
    else:
        with _pydicom_errors(CorruptImage, "The compressed pixel data is truncated or damaged."):
            offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
            codestream = get_frame(
                dataset["PixelData"].value,
                frame - 1,
                number_of_frames=header.frames,
                extended_offsets=None if None in offsets else offsets,
            )
            size = header.rows, header.columns, header.samples_per_pixel
            claim = check_codestream(codestream, *size)
            cells, color_space = _decompressed_cells(codestream, claim, header)
    return cells, _stored(cells, claim, header), color_space


def _native_cells(dataset: FileDataset, header: ImageHeader, frame: int) -> tuple[Cells, str]:
    syntax = header.transfer_syntax
    if syntax.is_encapsulated:
        # Compressed by its name, and native by its length. The data set is of this call alone.
        dataset.file_meta.TransferSyntaxUID = syntax = ExplicitVRLittleEndian
    options: dict[str, Any] = {"view_only": True, "bits_stored": header.bits_allocated}
    stored, properties = get_decoder(syntax).as_array(dataset, index=frame - 1, raw=True, **options)
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return _as_cells(native), str(properties["photometric_interpretation"])


def _decompressed_cells(
    codestream: bytes, claim: CodestreamHeader | None, header: ImageHeader
) -> tuple[Cells, str]:
    """Decode a codestream as it describes itself; RLE has no header, and claims nothing."""
    if claim is None:
        if header.transfer_syntax != RLELossless:
            name = header.transfer_syntax.name
            raise CorruptImage(f"The compressed pixel data is no {name}, or truncated or damaged.")
        cell = header.bits_allocated, header.bits_allocated
        # pydicom's own decoder puts no bound on what a run may expand to.
        return _plugged((RLELossless, "pylibjpeg"), codestream, header, cell)
    if claim.precision > header.bits_allocated:
        raise PixelDataMismatch("The compressed samples are deeper than their header says.")
    if claim.is_common_jpeg:
        grays = jpeg_grays(codestream, claim)
        if claim.components == 1:
            return grays, header.photometric_interpretation
    depths = (8 if claim.precision <= 8 else 16), claim.precision
    first, *others = (
        _plugged(_decoder(claim), each, header, depths, is_signed=claim.is_signed)
        for each in completed(codestream, claim)
    )
    if any(not np.array_equal(first[0], cells) for cells, _ in others):
        raise CorruptImage("The compressed pixel data is truncated.")
    return first


def _decoder(claim: CodestreamHeader) -> tuple[UID, str]:
    """Choose the decoder of a codestream by what it is."""
    if claim.family == "JPEG 2000":
        return JPEG2000Lossless, "pylibjpeg"
    if claim.family == "JPEG-LS":
        # GDCM refuses these depths.
        return JPEGLSLossless, "pylibjpeg" if claim.precision in {6, 7} else "gdcm"
    if claim.is_common_jpeg:
        # Pillow takes a third of the time of the others.
        return JPEGBaseline8Bit, "pillow"
    if claim.is_lossy:
        return JPEGExtended12Bit, "pylibjpeg"
    # GDCM alone takes the differences of JPEG Lossless modulo 2^P.
    return JPEGLossless, "gdcm"


def _plugged(
    decoder: tuple[UID, str],
    codestream: bytes,
    header: ImageHeader,
    depths: tuple[int, int],
    *,
    is_signed: bool = False,
) -> tuple[Cells, str]:
    """Decode a codestream with a plug-in, whose cells and samples have the bits ``depths``."""
    syntax, plug_in = decoder
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples_per_pixel,
        "number_of_frames": 1,
        "photometric_interpretation": header.photometric_interpretation,
        "planar_configuration": 0,
        "pixel_keyword": "PixelData",
        "bits_allocated": depths[0],
        "bits_stored": depths[1],
        "pixel_representation": int(is_signed),
    }
    samples, properties = get_decoder(syntax).as_array(
        encapsulate([codestream]), index=0, raw=True, decoding_plugin=plug_in, **options
    )
    return _as_cells(samples), str(properties["photometric_interpretation"])


def _as_cells(samples: Cells) -> Cells:
    """See integers as unsigned, whatever they stand for."""
    return samples.view(f"u{samples.dtype.itemsize}") if samples.dtype.kind == "i" else samples


def _stored(cells: Cells, claim: CodestreamHeader | None, header: ImageHeader) -> Values:
    """Find the stored value that each possible cell stands for."""
    every = np.arange(2 ** (8 * cells.dtype.itemsize), dtype=cells.dtype)
    span = 2**header.bits_stored
    if claim is None:
        unused = header.unused_low_bits
        # Some writers name bits below the stored value, and do not shift it.
        if unused and cells.max() < span and (cells & cells.dtype.type(2**unused - 1)).any():
            unused = 0
        values = every.astype(np.int64) >> unused
    else:
        kind = f"i{cells.dtype.itemsize}" if claim.is_signed else every.dtype
        values = every.view(kind).astype(np.int64)
        if (claim.is_lossy or header.is_lossy) and claim.precision > header.bits_stored:
            # Lossy samples may overshoot.
            lowest = -span // 2 if claim.is_signed and header.is_signed else 0
            values = np.clip(values, lowest, lowest + span - 1)
    # The bits above the stored value may hold an overlay, or the sign of a shorter number.
    values &= span - 1
    # The upper half stands for negative values where there are any.
    return np.where(header.is_signed & (values >= span // 2), values - span, values).astype(float)
