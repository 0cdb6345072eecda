"""JPEG, PNG and TIFF."""

import io
import zlib
from contextlib import suppress

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from contract.codestream import read_jpeg_header
from contract.cost import check_frame_number, check_size
from contract.errors import ContractError, CorruptImage, UnsupportedFormat
from contract.formats import Format
from contract.frame import Radiograph
from contract.jpeg import jpeg_grays
from contract.pixels import GrayPixels, Turn, luma, over_black, sample_depth, to_uint8, widen

# ``decode`` has a pixel limit of its own. Pillow's guard has one limit for the whole process,
# warns at it and fails at twice of it; nothing else of this project opens images.
Image.MAX_IMAGE_PIXELS = None

_UNCOMPRESSED, _SEPARATE_PLANES, _LAB = 1, 2, 8
# Unsigned, or left undefined.
_PLAIN_SAMPLES = frozenset({1, 4})
# None, LZW, deflate and PackBits. libtiff fills with gray what a JPEG or a fax in it lacks.
_DECODED = frozenset({1, 5, 8, 32773, 32946})
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
) -> Radiograph:
    """Decode a JPEG, a PNG or one page of a TIFF, whose cost was checked, upright as EXIF says."""
    try:
        if format_name == "JPEG":
            return _read_jpeg(data, at_least)
        return _read_png(data) if format_name == "PNG" else _read_tiff(data, frame, max_pixels)
    except (ContractError, MemoryError):
        raise
    except Exception as error:
        # Pillow's own words may quote the file, and are left out. It looks a TIFF's kind up in
        # tables; what they lack is sound, and unusual.
        if format_name == "TIFF" and isinstance(error.__cause__, KeyError):
            raise _unusual(format_name) from error
        raise CorruptImage(f"The {format_name} is truncated or damaged.") from error


def _unusual(format_name: Format) -> UnsupportedFormat:
    return UnsupportedFormat(
        f"This kind of {format_name} is not decoded here: its sample depth, sample layout or "
        f"compression is unusual. Send it as an ordinary {format_name} or as DICOM."
    )


def _read_jpeg(data: bytes, at_least: tuple[int, int] | None) -> Radiograph:
    header = read_jpeg_header(data)
    if header is None:
        raise CorruptImage("The JPEG is truncated or damaged.")
    if not header.is_common_jpeg:
        raise _unusual("JPEG")
    orientation = 1
    with suppress(Exception):
        orientation = _orientation(JpegImageFile(io.BytesIO(data)))
    needed = at_least[::-1] if at_least and orientation >= 5 else at_least
    grays = jpeg_grays(data, header, needed)
    return _upright(grays, "JPEG", orientation, (header.rows, header.columns))


def _read_png(data: bytes) -> Radiograph:
    image = PngImageFile(io.BytesIO(_essential_chunks(data)))
    bit_depth = data[24]  # of IHDR, the first chunk
    is_deep_colour = bit_depth > 8 and not image.mode.startswith("I")
    grays = (_deep_colour if is_deep_colour else _gray)(image)
    # What stands behind the pixels is read with them.
    return _upright(grays, "PNG", _orientation(image), grays.shape)


def _essential_chunks(data: bytes) -> bytes:
    """Leave out what says nothing of a PNG's pixels. Source: PNG (Third Edition), 5.3."""
    kept, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        chunk = data[position:end]
        is_sound = chunk[4:8] != b"eXIf" or zlib.crc32(chunk[4:-4]).to_bytes(4) == chunk[-4:]
        if chunk[4:8] in _PNG_CHUNKS and is_sound:
            kept.append(chunk)
        position = end
    return b"".join([*kept, data[position:]])


def _read_tiff(data: bytes, frame: int, max_pixels: int) -> Radiograph:
    """Decode a page, which Pillow turns itself. Source: TIFF 6.0, sections 3 and 8."""
    image = TiffImageFile(io.BytesIO(data))
    check_frame_number(frame, image.n_frames)
    image.seek(frame - 1)
    check_size(image.height, image.width, max_pixels)
    _check_kind(image)
    # A compressed image is one task for libtiff, which checks its strips itself.
    is_planar = image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _SEPARATE_PLANES
    planes = len(image.getbands()) if is_planar and not image.use_load_libtiff else 1
    boxes = (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if covered < image.width * image.height * planes:
        raise CorruptImage("The TIFF's strips or tiles do not cover the image.")
    grays = _gray(image)
    # Pillow inverts an image whose zero is white only up to 8 bits.
    is_white_zero = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    if is_white_zero and grays.dtype == np.uint16:
        grays = 65535 - grays
    rows, columns = grays.shape
    return Radiograph(grays, "TIFF", rows, columns, frame, image.n_frames)


def _check_kind(image: TiffImageFile) -> None:
    """Refuse what Pillow would read wrong, or fill up where it is missing."""
    tags = image.tag_v2
    compression = tags.get(TiffImagePlugin.COMPRESSION, _UNCOMPRESSED)
    if compression not in _DECODED:
        name = TiffImagePlugin.COMPRESSION_INFO[compression]
        raise UnsupportedFormat(
            f"A TIFF compressed with {name} is not decoded here. Send it uncompressed, or with LZW."
        )
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    is_plain = _PLAIN_SAMPLES.issuperset(tags.get(TiffImagePlugin.SAMPLEFORMAT, ()))
    is_lab = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _LAB
    if bits > (16 if samples == 1 else 8) or not is_plain or is_lab:
        raise UnsupportedFormat(
            f"A TIFF of {samples} samples of {bits} bits of this kind is not decoded "
            "here. Send it in gray of 8 or 16 unsigned bits, or in colour of 8."
        )


def _gray(image: ImageFile) -> GrayPixels:
    """Decode to gray, alpha over black; 16 bits are scaled from the depth that the samples use."""
    image.load()
    if image.mode.startswith("I"):
        # Pillow's own conversion to 8 bits would clip these to white.
        samples = np.asarray(image).astype(np.uint16, copy=False)
        if "transparency" in image.info:
            samples = np.where(samples == image.info["transparency"], np.uint16(0), samples)
        bits = sample_depth(samples)
        return widen(np.minimum(samples, np.uint16(2**bits - 1)), bits)
    if image.mode == "La":
        return np.ascontiguousarray(np.asarray(image)[..., 0])
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return over_black(np.asarray(colour.convert("L")), np.asarray(colour.getchannel("A")))
    return np.asarray(image.convert("L"))


def _deep_colour(image: ImageFile) -> GrayPixels:
    """Decode 16-bit colour to 8-bit gray; Pillow drops the low bytes, and their middle is taken."""
    image.load()
    samples = np.asarray(image).astype(np.uint16) * 256 + 128
    # Of 12 bits, four would be left. A transparent colour cannot be told from its like any more.
    if sample_depth(samples[..., :3]) < 16 or "transparency" in image.info:
        raise UnsupportedFormat(
            "A PNG in 16-bit colour is decoded here only where it uses all 16 bits, and has an "
            "alpha channel if it is transparent. Send it in gray, or in colour of 8 bits."
        )
    gray = luma(samples[..., :3])
    is_opaque = image.mode != "RGBA" or samples[..., 3].min() >= 0xFF00
    return to_uint8(gray if is_opaque else over_black(gray, samples[..., 3]))


def _orientation(image: ImageFile) -> int:
    """Read EXIF's orientation, 1 (upright) to 8; a damaged EXIF block says nothing of it."""
    with suppress(Exception):
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return value if value in range(1, 9) else 1
    return 1


def _upright(
    pixels: GrayPixels, format_name: str, orientation: int, size: tuple[int, ...]
) -> Radiograph:
    """Undo how the camera was held. Source: Exif 2.32 (CIPA DC-008), 4.6.4 A, Orientation."""
    turn = Turn(
        transposed=orientation >= 5,
        rows=orientation in {3, 4, 7, 8},
        columns=orientation in {2, 3, 6, 7},
    )
    rows, columns = size[::-1] if turn.transposed else size
    return Radiograph(turn.apply(pixels), format_name, rows, columns)
