"""JPEG, PNG and TIFF, decoded with Pillow."""

import io
import math
import sys
import zlib
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

from contract.codestream import END_OF_IMAGE, read_jpeg_header, with_end
from contract.errors import ContractError, CorruptImage, PixelDataMismatch, UnsupportedFormat
from contract.formats import Format
from contract.frame import Frame
from contract.pixels import (
    BLOCK_VALUES,
    GrayPixels,
    Samples,
    Turn,
    in_row_blocks,
    join_rows,
    luma,
    over_black,
    sample_depth,
    stretch,
    to_full_scale,
    widen,
)
from contract.silence import silence_imaging_libraries
from contract.tiff import TiffPage, read_page

# ``decode`` has a pixel budget of its own. Pillow's guard has one limit for the whole process,
# warns at it and fails at twice of it; nothing else of this project opens images.
Image.MAX_IMAGE_PIXELS = None

_JPEG_PIECE_BYTES = 1 << 20
# The chunks that say what the pixels are. Others may be damaged, or inflate to a thousand times
# their size, and change nothing.
_PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})
_GRAY_WITH_ALPHA = "LA;16B"
_DEEP_COLOUR = frozenset({"RGB", "RGBX", "RGBA"})
# Told the other byte order, Pillow keeps the low byte instead.
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}

Open = Callable[[], ImageFile]
Bands = Callable[[], Iterator[NDArray[np.uint16]]]


def read_raster(
    data: bytes,
    format_name: Format,
    *,
    frame: int,
    max_pixels: int,
    at_least: tuple[int, int] | None,
) -> Frame:
    """Decode a JPEG, a PNG or one page of a TIFF, whose cost was checked.

    Args:
        data: The whole file.
        format_name: What it was recognised as: JPEG, PNG or TIFF.
        frame: The page, from 1; JPEG and PNG have one.
        max_pixels: The budget, rows times columns.
        at_least: The (height, width) that is needed. A JPEG is decoded at a reduced scale where
            that leaves as much; None decodes in full.

    Returns:
        Gray pixels, uint8 or uint16 as in ``Radiograph``, turned as EXIF says.

    Raises:
        ImageError: As ``contract.radiograph.decode``.
        MemoryError: The machine has less memory left than the budget takes.
    """
    silence_imaging_libraries()
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
    essential = _essential_chunks(data)
    image = PngImageFile(io.BytesIO(essential))
    size = image.size
    pixels = _pixels(image, lambda: PngImageFile(io.BytesIO(essential)))
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
    def open_page() -> TiffImageFile:
        image = TiffImageFile(io.BytesIO(data))
        image.seek(frame - 1)
        return image

    image = open_page()
    # A compressed image is one task for libtiff, which checks its strips itself.
    planes = len(image.getbands()) if page.is_planar and not image.use_load_libtiff else 1
    boxes = (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if covered < image.width * image.height * planes:
        raise CorruptImage("The TIFF's strips or tiles do not cover the image.")
    pixels = _pixels(image, open_page)
    if page.is_signed_8_bit:
        return pixels ^ np.uint8(128)
    # Pillow inverts such images only up to 8 bits.
    if page.is_white_zero and pixels.dtype == np.uint16 and not page.is_deep_colour:
        return in_row_blocks(lambda block: 65535 - block, pixels)
    return pixels


def _pixels(image: ImageFile, open_again: Open) -> GrayPixels:
    """Decode an image that is not loaded yet; ``open_again`` opens it once more."""
    return _deep_gray(image, open_again) if _is_deep(image) else _gray(image)


def _gray(image: ImageFile) -> GrayPixels:
    """Read the samples of any mode of up to 8 bits of colour as gray, alpha over black."""
    if image.mode.startswith("I;16"):
        return _scaled(lambda: (_wide_samples(strip) for strip in _strips(image)), image.height)
    if image.mode in {"I", "F"}:
        return _stretched(image)
    if image.mode == "LAB":
        raise UnsupportedFormat("CIE L*a*b* colour is not decoded here.")
    return _in_strips(_shallow_gray, image)


def _shallow_gray(strip: Image.Image) -> GrayPixels:
    if strip.mode == "La":
        return np.asarray(strip)[..., 0]
    if strip.has_transparency_data:
        colour = strip.convert("RGBA")
        return over_black(np.asarray(colour.convert("L")), np.asarray(colour.getchannel("A")))
    gray = strip if strip.mode == "L" else strip.convert("L")
    # What np.asarray does as well, once it has found out how.
    return np.frombuffer(gray.tobytes(), np.uint8).reshape(gray.height, gray.width)


def _wide_samples(strip: Image.Image) -> NDArray[np.uint16]:
    samples = np.asarray(strip).astype(np.uint16, copy=False)
    if "transparency" in strip.info:
        return np.where(samples == strip.info["transparency"], 0, samples)
    return samples


def _scaled(bands: Bands, rows: int) -> GrayPixels:
    """Scale 16-bit samples from the depth that they use to all 16 bits, alpha over black.

    Pillow's own conversion to 8 bits would clip them to white.

    Args:
        bands: Gives the bands of rows anew at each call, shape (rows, columns) or (..., channels).
        rows: Of all bands together.
    """
    bits = sample_depth(_colours(band) for band in bands())
    return join_rows((_gray_of(band, bits) for band in bands()), rows)


def _gray_of(samples: NDArray[np.uint16], bits: int) -> GrayPixels:
    wide = widen(np.minimum(_colours(samples), np.uint16(2**bits - 1)), bits)
    if samples.ndim == 2:
        return wide
    gray = wide[..., 0] if wide.shape[-1] == 1 else luma(wide)
    return gray if samples.shape[-1] == 3 else over_black(gray, samples[..., -1])


def _colours(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    if samples.ndim == 2:
        return samples
    return samples[..., :1] if samples.shape[-1] == 2 else samples[..., :3]


def _is_deep(image: ImageFile) -> bool:
    """Tell whether an image that is not loaded yet has more than 8 bits, and more than gray."""
    kind, _, depth = _raw_mode(image).partition(";")
    return depth in _OTHER_BYTE and kind != "I"


def _deep_gray(image: ImageFile, open_again: Open) -> GrayPixels:
    """Decode 16-bit colour, or 16-bit gray with alpha, of which Pillow keeps the high bytes alone.

    A 12-bit radiograph that a program wrote as colour would lose all but four of its bits.

    Raises:
        UnsupportedFormat: CMYK, or colour that is multiplied by its alpha already.
    """
    kind, _, depth = _raw_mode(image).partition(";")
    if _raw_mode(image) == _GRAY_WITH_ALPHA:
        # The four bytes of a pixel pass unchanged through a mode that has four channels.
        _set_raw_mode(image, "RGBA")
        strips = partial(_strips, image)
        return _scaled(
            lambda: (np.asarray(strip).view(">u2").astype(np.uint16) for strip in strips()),
            image.height,
        )
    if kind not in _DEEP_COLOUR:
        raise UnsupportedFormat("This kind of 16-bit colour is not decoded here.")
    key, again = image.info.get("transparency"), open_again()
    _set_raw_mode(again, f"{kind};{_OTHER_BYTE[depth]}")
    return _scaled(
        lambda: (
            _without_key(np.asarray(high).astype(np.uint16) << np.uint16(8) | np.asarray(low), key)
            for high, low in zip(_strips(image), _strips(again), strict=True)
        ),
        image.height,
    )


def _raw_mode(image: ImageFile) -> str:
    """Name how the samples lie in the file of an image that is not loaded yet."""
    arguments = image.tile[0].args or ("",)
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _set_raw_mode(image: ImageFile, mode: str) -> None:
    image.tile = [
        tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)
        for tile in image.tile
    ]


def _without_key(
    samples: NDArray[np.uint16], key: tuple[int, int, int] | None
) -> NDArray[np.uint16]:
    """Blacken the one colour that a PNG's tRNS chunk declares transparent."""
    if key is None:
        return samples
    return np.where((samples == np.asarray(key)).all(axis=-1, keepdims=True), 0, samples)


def _stretched(image: ImageFile) -> GrayPixels:
    """Show samples that have no nominal range, smallest black to largest white."""
    # Pillow has no unsigned 32-bit mode, and gives the bits as signed numbers.
    is_unsigned = _raw_mode(image) == "I;32N"

    def samples(strip: Image.Image) -> Samples:
        return np.asarray(strip).view(np.uint32) if is_unsigned else np.asarray(strip)

    ends = [(samples(strip).min(), samples(strip).max()) for strip in _strips(image)]
    # NumPy passes on what is no number, as Python's own minimum may not.
    low, high = float(np.min(ends)), float(np.max(ends))
    if not math.isfinite(high - low):
        raise PixelDataMismatch("The floating-point samples hold values that are no numbers.")
    return _in_strips(
        lambda strip: to_full_scale(stretch(samples(strip).astype(np.float64), low, high), 16),
        image,
    )


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
    """Undo how the camera was held.

    Args:
        pixels: As they lie in the file.
        size: The columns and rows that its header names.
        orientation: 1 to 8.

    Source: Exif 2.32 (CIPA DC-008), 4.6.4 A, Orientation.
    """
    turn = Turn(
        transposed=orientation >= 5,
        rows=orientation in {3, 4, 7, 8},
        columns=orientation in {2, 3, 6, 7},
    )
    columns, rows = size[::-1] if turn.transposed else size
    return Frame(turn.apply(pixels), rows, columns, 1)
