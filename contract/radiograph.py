"""Bytes in, gray pixels out: the only code of this project that opens an image."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """The attributes of a DICOM image that matter to a model; none of them identifies a person.

    Text is upper case, None where the attribute is absent. ``pixel_spacing_mm`` is row then column.
    """

    modality: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None
    photometric_interpretation: str
    transfer_syntax_uid: str
    pixel_spacing_mm: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One frame, ready to look at.

    ``pixels`` is uint8 or uint16, shape (rows, columns), 0 black to the dtype's maximum white: every
    look-up table is applied and MONOCHROME1 inverted. ``rows`` and ``columns`` are those of the
    file's header; ``pixels`` may be smaller where a reduced decode was asked for. ``frame`` counts
    from 1.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
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
    """Read a plain JPEG or PNG."""
    with Image.open(io.BytesIO(data)) as image:
        columns, rows = image.size
        if at_least is not None:
            image.draft("L", (2 * at_least[1], 2 * at_least[0]))
        pixels = np.asarray(image.convert("L"))
        name = image.format or ""
    return Radiograph(pixels, name, rows, columns, frame, 1, None)
