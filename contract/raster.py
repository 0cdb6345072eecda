"""JPEG, PNG and TIFF, decoded with Pillow."""

import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from contract.codestream import END_OF_IMAGE, read_jpeg_header, with_end
from contract.errors import ContractError, CorruptImage, UnsupportedFormat
from contract.formats import Format
from contract.frame import Frame
from contract.library_logging import mute_imaging_libraries
from contract.pixels import (
    BLOCK_VALUES,
    GrayPixels,
    Turn,
    in_row_blocks,
    join_rows,
    luma,
    over_black,
    sample_depth,
    to_uint8,
    widen,
)
from contract.tiff import TiffPage, read_page

# ``decode`` has a pixel budget of its own. Pillow's guard has one limit for the whole process,
# warns at it and fails at twice of it; nothing else of this project opens images.
Image.MAX_IMAGE_PIXELS = None

_JPEG_PIECE_BYTES = 1 << 20
_PNG_DEPTH = 24
# The chunks that say what the pixels are. Others may be damaged, or inflate to a thousand times
# their size, and change nothing.
_PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})


def read_raster(
    data: bytes,
    format_name: Format,
    *,
    frame: int,
    max_pixels: int,
    at_least: tuple[int, int] | None,
) -> Frame:
    """Decode a JPEG, a PNG or one page of a TIFF, whose cost was checked.

    ``frame``: the page, from 1; JPEG and PNG have one. ``at_least``: the (height, width) that is
    needed. A JPEG is decoded at a reduced scale where that leaves as much; None decodes in full.
    The result: gray pixels, uint8 or uint16 as in ``Radiograph``, turned as EXIF says.
    """
    mute_imaging_libraries()
    with _pillow_errors(data, format_name):
        if format_name == "TIFF":
            page = read_page(data, frame, max_pixels)
            pixels = _tiff_pixels(data, frame, page)
            # Pillow itself turns a TIFF upright.
            return Frame(pixels, pixels.shape[0], pixels.shape[1], page.pages)
        return _read_jpeg(data, at_least) if format_name == "JPEG" else _read_png(data)


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


def _read_jpeg(data: bytes, at_least: tuple[int, int] | None) -> Frame:
    """Decode a JPEG, also where nothing but its end marker is missing."""
    try:
        return _jpeg(data, at_least)
    except OSError:
        header = read_jpeg_header(data)
        if header is None or not header.is_common_jpeg or data.endswith(END_OF_IMAGE):
            raise
        whole, longer = (_jpeg(each, at_least) for each in with_end(data, header))
        if not np.array_equal(whole.pixels, longer.pixels):
            raise
        return whole


def _jpeg(data: bytes, at_least: tuple[int, int] | None) -> Frame:
    """Decode without the colour and, where allowed, without the scale that is not needed.

    Resized to what is needed, a reduced image differs from one decoded in full by less than one
    gray of 255 on average, and takes two thirds of the time.
    """
    image = JpegImageFile(io.BytesIO(data))
    # At once, for most files: each piece costs a turn at the interpreter's lock, and a copy.
    image.decodermaxblock = _JPEG_PIECE_BYTES
    size, orientation = image.size, _orientation(image)
    needed = at_least[::-1] if at_least and orientation < 5 else at_least
    image.draft("L", needed)
    return _upright(_gray(image), size, orientation)


def _read_png(data: bytes) -> Frame:
    image = PngImageFile(io.BytesIO(_essential_chunks(data)))
    is_deep_colour = data[_PNG_DEPTH] > 8 and not image.mode.startswith("I")
    if is_deep_colour and "transparency" in image.info:
        # Without the low bytes, a colour like the transparent one would turn black too.
        raise UnsupportedFormat(
            "A PNG in 16-bit colour, of which one is transparent, is not decoded here. Send it "
            "with an alpha channel, or without transparency."
        )
    size, pixels = image.size, (_deep_colour if is_deep_colour else _gray)(image)
    # What stands behind the pixels is read with them.
    orientation = _orientation(image)
    image.close()  # Turning takes as much memory again as the image that is now done with.
    return _upright(pixels, size, orientation)


def _essential_chunks(data: bytes) -> bytes:
    """Leave out the chunks of a PNG that say nothing of its pixels.

    Source: PNG Specification (Third Edition), 5.3.
    """
    kept, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if name in _PNG_CHUNKS and (name != b"eXIf" or _is_sound(data[position:end])):
            kept.append(data[position:end])
        position = end
    kept.append(data[position:])
    return b"".join(kept)


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _tiff_pixels(data: bytes, frame: int, page: TiffPage) -> GrayPixels:
    image = TiffImageFile(io.BytesIO(data))
    image.seek(frame - 1)
    # A compressed image is one task for libtiff, which checks its strips itself.
    planes = len(image.getbands()) if page.is_planar and not image.use_load_libtiff else 1
    boxes = (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if covered < image.width * image.height * planes:
        raise CorruptImage("The TIFF's strips or tiles do not cover the image.")
    pixels = _gray(image)
    # Pillow inverts such images only up to 8 bits.
    if page.is_white_zero and pixels.dtype == np.uint16:
        return in_row_blocks(lambda block: 65535 - block, pixels)
    return pixels


def _gray(image: ImageFile) -> GrayPixels:
    """Decode to gray, alpha over black; 16 bits are scaled from the depth that the samples use."""
    if not image.mode.startswith("I"):
        return _in_strips(_shallow_gray, image)
    # Pillow's own conversion to 8 bits would clip these to white.
    bits = sample_depth(_wide_samples(strip) for strip in _strips(image))
    largest = np.uint16(2**bits - 1)
    return _in_strips(lambda strip: widen(np.minimum(_wide_samples(strip), largest), bits), image)


def _shallow_gray(strip: Image.Image) -> GrayPixels:
    if strip.mode == "La":
        return np.asarray(strip)[..., 0]
    if strip.has_transparency_data:
        colour = strip.convert("RGBA")
        return over_black(np.asarray(colour.convert("L")), np.asarray(colour.getchannel("A")))
    gray = strip if strip.mode == "L" else strip.convert("L")
    # What np.asarray does as well, once it has found out how.
    return np.frombuffer(gray.tobytes(), np.uint8).reshape(gray.height, gray.width)


def _deep_colour(image: ImageFile) -> GrayPixels:
    """Decode 16-bit colour to 8-bit gray; Pillow drops the low bytes, and their middle is taken."""
    image.load()
    is_blended = image.mode == "RGBA" and image.getchannel("A").getextrema()[0] != 255

    def render(strip: Image.Image) -> GrayPixels:
        samples = (np.asarray(strip).astype(np.uint16) << np.uint16(8)) | np.uint16(128)
        gray = luma(samples[..., :3])
        return to_uint8(over_black(gray, samples[..., 3]) if is_blended else gray)

    return _in_strips(render, image)


def _wide_samples(strip: Image.Image) -> NDArray[np.uint16]:
    samples = np.asarray(strip).astype(np.uint16, copy=False)
    if "transparency" in strip.info:
        return np.where(samples == strip.info["transparency"], 0, samples)
    return samples


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """Cut an image into bands of about a million pixels, from top to bottom; it is loaded first.

    NumPy takes an image in pieces and joins them, which would hold a large one three times.
    """
    image.load()
    rows = max(1, BLOCK_VALUES // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _in_strips(render: Callable[[Image.Image], GrayPixels], image: Image.Image) -> GrayPixels:
    """Render an image a band at a time; it is loaded first, which may turn a TIFF."""
    image.load()
    return join_rows((render(strip) for strip in _strips(image)), image.height)


def _orientation(image: ImageFile) -> int:
    """Read EXIF's orientation, 1 (upright) to 8; a damaged EXIF block says nothing of it."""
    with suppress(Exception):
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return value if value in range(1, 9) else 1
    return 1


def _upright(pixels: GrayPixels, size: tuple[int, int], orientation: int) -> Frame:
    """Undo how the camera was held. Source: Exif 2.32 (CIPA DC-008), 4.6.4 A, Orientation."""
    turn = Turn(
        transposed=orientation >= 5,
        rows=orientation in {3, 4, 7, 8},
        columns=orientation in {2, 3, 6, 7},
    )
    columns, rows = size[::-1] if turn.transposed else size
    return Frame(turn.apply(pixels), rows, columns, 1)
