"""What decoding gives: one frame, ready to look at."""

from dataclasses import dataclass

from contract.dicom_facts import DicomFacts
from contract.pixels import UPRIGHT, GrayPixels, Turn


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One frame, ready to look at.

    ``pixels`` is uint8 or uint16, shape (rows, columns), 0 black to the dtype's maximum white:
    every look-up table is applied and MONOCHROME1 inverted, and it is upright as far as the file
    says how. ``rows`` and ``columns`` are those of the upright image in full; ``pixels`` may be
    reduced. ``format`` is JPEG, PNG, TIFF or DICOM. ``frame`` counts from 1.
    """

    pixels: GrayPixels
    format: str
    rows: int
    columns: int
    frame: int = 1
    frames: int = 1
    dicom: DicomFacts | None = None

    @property
    def turned(self) -> Turn:
        """What brought a DICOM image upright; ``undo`` turns a map back to the file as sent.

        Viewers show a DICOM image as it lies in its file, and a JPEG, PNG or TIFF as EXIF says.
        """
        return self.dicom.turned if self.dicom else UPRIGHT
