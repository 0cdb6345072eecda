"""One decoded frame, and what is checked of every image before a pixel is decoded."""

import math
from dataclasses import dataclass

from contract.errors import CorruptImage, FrameOutOfRange, TooManyPixels
from contract.pixels import GrayPixels

# What decoding may hold at once for each pixel of the budget: colour as Pillow keeps it, in four
# bytes, and the gray that is made of it. 100 million pixels stay within 500 MB so.
BYTES_PER_PIXEL = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """Gray pixels, and the size that the file's header names for them."""

    pixels: GrayPixels
    rows: int
    columns: int
    frames: int


def frame_bytes_per_pixel(samples: int, bits_allocated: int, *, is_encapsulated: bool) -> int:
    """How many bytes are held at once for each pixel of a DICOM frame that is decoded.

    Twice its cells: as they are in the file, and put in order. Then the gray, or before it the
    32-bit integers in which the decoders of codestreams work.
    """
    cells = samples * max(1, bits_allocated // 8)
    gray = 1 if bits_allocated <= 8 else 2
    return 2 * cells + max(4 * samples if is_encapsulated else 0, gray)


def check_frame_number(frame: int, frames: int) -> None:
    """Check that the asked-for frame exists; the first is 1.

    Source: DICOM PS3.18 8.2, where frame numbers start at 1.
    """
    if not 1 <= frame <= frames:
        raise FrameOutOfRange(f"Frame {frame} was asked for; the image has frames 1 to {frames}.")


def check_budget(
    rows: int, columns: int, max_pixels: int, *, bytes_per_pixel: float = BYTES_PER_PIXEL
) -> int:
    """Check the size that a header claims, before anything of that size is allocated.

    The result: how many bytes that is in all.
    """
    if rows < 1 or columns < 1:
        raise CorruptImage("The header says that the image has no pixels.")
    pixels = rows * columns
    needed = math.ceil(pixels * bytes_per_pixel)
    counted = max(pixels, -(-needed // BYTES_PER_PIXEL))
    if counted > max_pixels:
        why = f" of a deep kind, which count as {counted}" if counted > pixels else ""
        raise TooManyPixels(
            f"The image has {rows} x {columns} pixels{why}; the limit is {max_pixels} in all."
        )
    return needed
