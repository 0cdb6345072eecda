"""JPEG, PNG and TIFF, decoded with Pillow."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from contract.codestream import read_jpeg_header
from contract.deep_colour import is_deep, raw_mode, read_deep
from contract.errors import ContractError, CorruptImage, PixelDataMismatch, UnsupportedFormat
from contract.formats import Format
from contract.frame import Frame, check_budget, check_frame_number
from contract.pixels import (
    GrayPixels,
    Samples,
    in_row_blocks,
    over_black,
    sample_bits,
    stretch,
    to_full_scale,
    widen,
)
from contract.raster_memory import bytes_per_pixel
from contract.silence import silence_imaging_libraries
from contract.strips import in_strips, strips
from contract.tiff import check_layout, count_pages, is_white_zero

# ``decode`` has a pixel budget of its own. Pillow's guard has one limit for the whole process,
# warns at it and fails at twice of it; nothing else of this project opens images.
Image.MAX_IMAGE_PIXELS = None

# A reduced JPEG is kept at least twice as large as asked for. Resized to that size, it differs from
# the full decode by 0.2 of 255 grays on average, and takes two thirds of the time.
REDUCTION_MARGIN = 2
_JPEG_PIECE_BYTES = 1 << 20


def read_raster(
    data: bytes,
    format_name: Format,
    *,
    frame: int,
    max_pixels: int,
    at_least: tuple[int, int] | None,
) -> Frame:
    """Decode a JPEG, a PNG or one page of a TIFF.

    Args:
        data: The whole file.
        format_name: What it was recognised as: JPEG, PNG or TIFF.
        frame: The page, from 1; JPEG and PNG have one.
        max_pixels: The budget, rows times columns.
        at_least: The (height, width) that is needed. A JPEG is decoded at a reduced scale where
            that leaves twice of it; None decodes in full.

    Returns:
        Gray pixels, uint8 or uint16 as in ``Radiograph``, turned as EXIF says.

    Raises:
        CorruptImage: Truncated or damaged.
        PixelDataMismatch: Floating-point samples that are no numbers.
        UnsupportedFormat: A sample layout or JPEG process that is not decoded.
        FrameOutOfRange: There is no such page.
        TooManyPixels: The header claims more than the budget.
        MemoryError: The machine has less memory left than the budget takes.
    """
    silence_imaging_libraries()
    with _pillow_errors(data, format_name):
        frames = count_pages(data) if format_name == "TIFF" else 1
        check_frame_number(frame, frames)
        open_again = partial(_open, data, format_name, frame)
        image = open_again()
        columns, rows = image.size
        check_budget(rows, columns, max_pixels, bytes_per_pixel=bytes_per_pixel(image))
        if isinstance(image, TiffImageFile):
            check_layout(image, max_pixels)
            # Pillow itself turns a TIFF upright.
            pixels = _tiff_pixels(image, open_again)
            return Frame(pixels, pixels.shape[0], pixels.shape[1], frames)
        if isinstance(image, JpegImageFile):
            _reduce(image, at_least)
            pixels = _gray(image)
        else:
            pixels = read_deep(image, open_again) if is_deep(image) else _gray(image)
        orientation = _orientation(image)
        image.close()  # Turning takes as much memory again as the image that is now done with.
        if orientation >= 5:
            rows, columns = columns, rows
        return Frame(_upright(pixels, orientation), rows, columns, frames)


def _open(data: bytes, format_name: Format, frame: int) -> ImageFile:
    """Read the header. The plug-in is called by name: Image.open would try others as well."""
    file = io.BytesIO(data)
    if format_name == "JPEG":
        jpeg = JpegImageFile(file)
        # At once, for most files: each piece costs a turn at the interpreter's lock, and a copy.
        jpeg.decodermaxblock = _JPEG_PIECE_BYTES
        return jpeg
    if format_name == "PNG":
        return PngImageFile(file)
    image = TiffImageFile(file)
    image.seek(frame - 1)
    return image


@contextmanager
def _pillow_errors(data: bytes, format_name: Format) -> Iterator[None]:
    """Translate whatever Pillow raises; its own words may quote the file and are left out."""
    try:
        yield
    except (ContractError, MemoryError):
        raise
    except Exception as error:
        if _is_unsupported(error, data, format_name):
            raise UnsupportedFormat(
                f"This kind of {format_name} is not decoded here: its sample depth, sample layout "
                f"or compression is unusual. Send it as an ordinary {format_name} or as DICOM."
            ) from error
        raise CorruptImage(f"The {format_name} is truncated or damaged.") from error


def _is_unsupported(error: Exception, data: bytes, format_name: Format) -> bool:
    if format_name == "JPEG":
        header = read_jpeg_header(data)
        return header is not None and not header.is_common_jpeg
    # Pillow looks a TIFF's kind up in tables; what they lack is sound, and unknown to it.
    return format_name == "TIFF" and isinstance(error.__cause__, KeyError)


def _reduce(image: JpegImageFile, at_least: tuple[int, int] | None) -> None:
    """Have the decoder leave out the colour and, where allowed, the scale that is not needed."""
    if at_least is None:
        image.draft("L", None)
        return
    height, width = at_least if _orientation(image) < 5 else at_least[::-1]
    image.draft("L", (REDUCTION_MARGIN * width, REDUCTION_MARGIN * height))


def _tiff_pixels(image: TiffImageFile, open_again: Callable[[], ImageFile]) -> GrayPixels:
    if is_deep(image):
        return read_deep(image, open_again)
    pixels = _gray(image)
    if is_white_zero(image) and pixels.dtype == np.uint16:
        return in_row_blocks(lambda block: 65535 - block, pixels)
    return pixels


def _gray(image: ImageFile) -> GrayPixels:
    """Read the samples of any mode of up to 8 bits of colour as gray, alpha over black."""
    if image.mode.startswith("I;16"):
        return _wide_gray(image)
    if image.mode in {"I", "F"}:
        return _stretched(image)
    if image.mode == "LAB":
        raise UnsupportedFormat("CIE L*a*b* colour is not decoded here.")
    return in_strips(_shallow_gray, image)


def _shallow_gray(strip: Image.Image) -> GrayPixels:
    if strip.mode == "La":
        return np.asarray(strip)[..., 0]
    if strip.has_transparency_data:
        colour = strip.convert("RGBA")
        return over_black(np.asarray(colour.convert("L")), np.asarray(colour.getchannel("A")))
    return np.asarray(strip if strip.mode == "L" else strip.convert("L"))


def _wide_gray(image: ImageFile) -> GrayPixels:
    """Scale 16-bit gray in full; Pillow's own conversion to 8 bits would clip it to white."""
    bits = sample_bits(max(int(_wide_samples(strip).max()) for strip in strips(image)))
    return in_strips(lambda strip: widen(_wide_samples(strip), bits), image)


def _wide_samples(strip: Image.Image) -> NDArray[np.uint16]:
    samples = np.asarray(strip).astype(np.uint16, copy=False)
    if "transparency" in strip.info:
        return np.where(samples == strip.info["transparency"], 0, samples)
    return samples


def _stretched(image: ImageFile) -> GrayPixels:
    """Show samples that have no nominal range, smallest black to largest white."""
    # Pillow has no unsigned 32-bit mode, and gives the bits as signed numbers.
    is_unsigned = raw_mode(image) == "I;32N"

    def samples(strip: Image.Image) -> Samples:
        return np.asarray(strip).view(np.uint32) if is_unsigned else np.asarray(strip)

    ends = [(samples(strip).min(), samples(strip).max()) for strip in strips(image)]
    # NumPy passes on what is no number, as Python's own minimum may not.
    low, high = float(np.min(ends)), float(np.max(ends))
    if not math.isfinite(high - low):
        raise PixelDataMismatch("The floating-point samples hold values that are no numbers.")
    return in_strips(
        lambda strip: to_full_scale(stretch(samples(strip).astype(np.float64), low, high), 16),
        image,
    )


def _orientation(image: ImageFile) -> int:
    """Read EXIF's orientation, 1 (upright) to 8; a damaged EXIF block says nothing of it."""
    with suppress(Exception):
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return value if value in range(1, 9) else 1
    return 1


def _upright(pixels: GrayPixels, orientation: int) -> GrayPixels:
    """Undo how the camera was held.

    Source: Exif 2.32 (CIPA DC-008), 4.6.4 A, Orientation.
    """
    turned = pixels.T if orientation >= 5 else pixels
    if orientation in {3, 4, 7, 8}:
        turned = turned[::-1]
    if orientation in {2, 3, 6, 7}:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)
