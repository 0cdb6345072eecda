"""Common JPEG, decoded to gray with libjpeg-turbo.

Pillow keeps the library's warnings to itself, and one of them says that pixel data is missing and
gray stands in its place. Here a warning is an error, unless it speaks of no pixel.
"""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from contract.codestream import END_OF_IMAGE, START_OF_SCAN, CodestreamHeader
from contract.errors import CorruptImage, UnsupportedFormat

# Of the head of a scan, whose fields mean nothing where a JPEG is not progressive.
_HARMLESS = "Invalid SOS parameters for sequential JPEG"


def jpeg_grays(
    data: bytes, header: CodestreamHeader, at_least: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decode a common JPEG without its colour, at the least scale with the needed (height, width).

    Resized to it, a reduced image differs from a full one by less than one gray of 255 on average,
    and takes two thirds of the time. The end marker may be missing, or padding stand before it.

    Raises:
        CorruptImage: Pixel data is missing or damaged.
        UnsupportedFormat: Its colours have sampling factors that nobody uses.
    """
    if not header.has_every_bit:
        # libjpeg shows what there is of a JPEG between two of its scans, and says nothing.
        raise CorruptImage("The JPEG is truncated or damaged: a part of its scans is missing.")
    try:
        return _decode(data, header, at_least)
    except ValueError as error:
        words = str(error)
    if words == "Premature end of JPEG file" and not data.endswith(END_OF_IMAGE):
        return jpeg_grays(data + END_OF_IMAGE, header, at_least)
    if found := re.search(r"(\d+) extraneous bytes before marker 0xd9", words):
        end = data.rfind(END_OF_IMAGE)
        start = end - int(found[1])
        if len(set(data[start:end])) == 1:
            return jpeg_grays(data[:start] + END_OF_IMAGE, header, at_least)
    if words == _HARMLESS:
        return _decode(data, header, at_least, strict=False)
    # It is not told where the file ends before its first scan, either.
    if "subsampling" in words and header.components > 1 and START_OF_SCAN in data:
        raise UnsupportedFormat(
            "A JPEG with this subsampling of its colours is not decoded here. Send it in gray."
        )
    raise CorruptImage("The JPEG is truncated or damaged.")


def _decode(
    data: bytes, header: CodestreamHeader, at_least: tuple[int, int] | None, *, strict: bool = True
) -> NDArray[np.uint8]:
    height, width = at_least or (header.rows, header.columns)
    fits = min(header.rows // height, header.columns // width)
    scale = next((each for each in (8, 4, 2) if each <= fits), 1)
    reduced = -(-header.rows // scale), -(-header.columns // scale)
    grays: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, "GRAY", min_height=reduced[0], min_width=reduced[1], strict=strict
    )
    return grays[..., 0]
