"""One decoded frame, and what is checked of every image before a pixel is decoded."""

from dataclasses import dataclass

from contract.errors import CorruptImage, FrameOutOfRange, TooManyPixels
from contract.pixels import GrayPixels


@dataclass(frozen=True, slots=True)
class Frame:
    """Gray pixels, and the size that the file's header names for them."""

    pixels: GrayPixels
    rows: int
    columns: int
    frames: int


def check_frame_number(frame: int, frames: int) -> None:
    """Check that the asked-for frame exists; the first is 1.

    Source: DICOM PS3.18 8.2, where frame numbers start at 1.
    """
    if not 1 <= frame <= frames:
        raise FrameOutOfRange(f"Frame {frame} was asked for; the image has frames 1 to {frames}.")


def check_size(rows: int, columns: int, max_pixels: int) -> int:
    """Check the size that a header claims; return how many pixels that is."""
    if rows < 1 or columns < 1:
        raise CorruptImage("The header says that the image has no pixels.")
    if rows * columns > max_pixels:
        raise TooManyPixels(f"The image has {rows} x {columns} pixels; the limit is {max_pixels}.")
    return rows * columns
