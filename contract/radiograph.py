"""Bytes in, gray pixels out: the only code of this project that opens an image."""

from dataclasses import dataclass

from contract.cost import DecodeCost, estimate_cost
from contract.dicom import read_dicom
from contract.dicom_facts import DicomFacts
from contract.formats import sniff
from contract.pixels import UPRIGHT, GrayPixels, Turn
from contract.raster import read_raster

__all__ = ["DicomFacts", "Radiograph", "decode"]


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One frame, ready to look at.

    ``pixels`` is uint8 or uint16, shape (rows, columns), 0 black to the dtype's maximum white:
    every look-up table is applied and MONOCHROME1 inverted, and it is upright as far as the file
    says how. ``rows`` and ``columns`` are those of the file's header, for the upright image;
    ``pixels`` may be smaller where a reduced decode was asked for.
    ``format`` is JPEG, PNG, TIFF or DICOM. ``frame`` counts from 1.
    """

    pixels: GrayPixels
    format: str
    rows: int
    columns: int
    frame: int
    frames: int
    dicom: DicomFacts | None

    @property
    def turned(self) -> Turn:
        """What brought a DICOM image upright; ``undo`` turns a map back to the file as sent.

        Viewers show a DICOM image as it lies in its file, and a JPEG, PNG or TIFF as EXIF says.
        """
        return self.dicom.turned if self.dicom else UPRIGHT


def decode(
    data: bytes,
    *,
    frame: int = 1,
    max_pixels: int = 100_000_000,
    at_least: tuple[int, int] | None = None,
    cost: DecodeCost | None = None,
) -> Radiograph:
    """Decode an image file to gray pixels; its content decides the format.

    Colour becomes ITU-R BT.601 luma, alpha is composited over black. 16-bit PNG and TIFF are scaled
    from the smallest of 8, 10, 12, 14 and 16 bits that holds their largest sample. DICOM goes
    through its modality and VOI tables; CT through one lung window.

    Args:
        data: The whole file.
        frame: Which frame of a DICOM image or page of a TIFF, from 1.
        max_pixels: The largest rows times columns, read from the header before decoding.
        at_least: A hint: the (height, width) that is needed. A JPEG may then be decoded at a
            reduced scale, never below it. None decodes in full.
        cost: What ``estimate_cost`` gave for these arguments; None has it worked out here.

    Raises:
        ImageError: One of its kinds in ``contract.errors``.
        MemoryError: The machine has less memory left than that takes; nothing is wrong with the
            image. A plug-in of pydicom that runs out of memory gives CorruptImage all the same.
    """
    if cost is None:
        estimate_cost(data, frame=frame, max_pixels=max_pixels)
    name = sniff(data)
    facts = None
    if name == "DICOM":
        decoded, facts = read_dicom(data, frame=frame)
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
