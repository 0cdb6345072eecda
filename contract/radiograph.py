"""Bytes in, gray pixels out: the only code of this project that opens an image."""

from dataclasses import dataclass

from contract.cost import estimate_cost
from contract.dicom import read_dicom
from contract.dicom_facts import DicomFacts
from contract.formats import sniff
from contract.pixels import GrayPixels
from contract.raster import read_raster

__all__ = ["DicomFacts", "Radiograph", "decode"]


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One frame, ready to look at.

    ``pixels`` is uint8 or uint16, shape (rows, columns), 0 black to the dtype's maximum white:
    every look-up table is applied and MONOCHROME1 inverted. ``rows`` and ``columns`` are those of
    the file's header, upright; ``pixels`` may be smaller where a reduced decode was asked for.
    ``format`` is JPEG, PNG, TIFF or DICOM. ``frame`` counts from 1.
    """

    pixels: GrayPixels
    format: str
    rows: int
    columns: int
    frame: int
    frames: int
    dicom: DicomFacts | None


def decode(
    data: bytes,
    *,
    frame: int = 1,
    max_pixels: int = 100_000_000,
    at_least: tuple[int, int] | None = None,
) -> Radiograph:
    """Decode an image file to gray pixels; its content decides the format.

    Colour becomes ITU-R BT.601 luma, alpha is composited over black. 16-bit PNG and TIFF are scaled
    from the smallest of 8, 10, 12, 14 and 16 bits that holds their largest sample. DICOM goes
    through its modality and VOI tables; CT through one lung window.

    Args:
        data: The whole file.
        frame: Which frame of a DICOM image or page of a TIFF, from 1.
        max_pixels: The largest rows times columns, read from the header before decoding. Kinds
            that take more than five bytes a pixel to decode count for more, so that it bounds the
            memory too: 16-bit colour for two to five pixels, 32-bit samples and colour JPEG 2000
            for up to five, a colour JPEG for 1.4, 16-bit gray in a DICOM for 1.2 to 1.6. A deflated
            DICOM counts with all its frames. The file comes on top, up to four times in a DICOM.
        at_least: A hint: the (height, width) that is needed. A JPEG may then be decoded at a
            reduced scale, never below twice of it. None decodes in full.

    Raises:
        NotAnImage: The bytes are no image format at all.
        CorruptImage: Truncated or damaged.
        PixelDataMismatch: The pixel data contradicts its header.
        UnsupportedFormat: A format, or a kind of it, that is not decoded here.
        UnsupportedTransferSyntax: A DICOM encoding without a decoder.
        NoPixelData: A DICOM object that holds no image.
        FrameOutOfRange: There is no such frame.
        TooManyPixels: The header claims more than ``max_pixels``.
        MemoryError: The machine has less memory left than that takes; nothing is wrong with the
            image. A plug-in of pydicom that runs out of memory gives CorruptImage all the same.
    """
    estimate_cost(data, frame=frame, max_pixels=max_pixels)
    name = sniff(data)
    facts = None
    if name == "DICOM":
        decoded, facts = read_dicom(data, frame=frame, max_pixels=max_pixels)
    else:
        decoded = read_raster(data, name, frame=frame, max_pixels=max_pixels, at_least=at_least)
    return Radiograph(
        pixels=decoded.pixels,
        format=name,
        rows=decoded.rows,
        columns=decoded.columns,
        frame=frame,
        frames=decoded.frames,
        dicom=facts,
    )
