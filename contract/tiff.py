"""What a TIFF file says of itself before Pillow decodes it."""

import struct

from PIL.TiffImagePlugin import TiffImageFile

from contract.errors import CorruptImage, UnsupportedFormat
from contract.frame import check_budget

# Pillow's own count takes time with the square of the pages, so a small file could hold a core.
MAX_PAGES = 4096
_BIG_TIFF = 43
_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO = 262, 0
_PLANAR_CONFIGURATION, _SEPARATE_PLANES = 284, 2
_BITS_PER_SAMPLE = 258
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SAMPLES_PER_PIXEL, _ROWS_PER_STRIP = 277, 278
_ORIENTATION, _UPRIGHT = 274, 1


def count_pages(data: bytes) -> int:
    """Follow the chain of image file directories, without reading what they hold.

    Raises:
        CorruptImage: The chain leaves the file, or is longer than ``MAX_PAGES``.

    Source: TIFF 6.0, section 2; BigTIFF counts and links with 8 bytes instead.
    """
    order = "<" if data.startswith(b"II") else ">"
    version = struct.unpack_from(f"{order}H", data, 2)[0]
    count, link, entry, first = ("Q", "Q", 20, 8) if version == _BIG_TIFF else ("H", "I", 12, 4)
    pages: set[int] = set()
    try:
        position: int = struct.unpack_from(order + link, data, first)[0]
        # A chain that returns to a page it has passed ends there, as Pillow reads it.
        while position and position not in pages and len(pages) <= MAX_PAGES:
            pages.add(position)
            entries = struct.unpack_from(order + count, data, position)[0]
            after = position + struct.calcsize(order + count) + entry * entries
            position = struct.unpack_from(order + link, data, after)[0]
    except (struct.error, OverflowError) as error:
        raise CorruptImage("The TIFF is truncated: a page lies beyond its end.") from error
    if len(pages) > MAX_PAGES:
        raise CorruptImage(f"The TIFF has more than {MAX_PAGES} pages.")
    return len(pages)


def check_layout(image: TiffImageFile, max_pixels: int) -> None:
    """Check how the samples lie in the file, before the decoder allocates for it.

    Raises:
        CorruptImage: The strips or tiles do not cover the image.
        TooManyPixels: One tile claims more pixels than the budget allows.
        UnsupportedFormat: 16-bit samples in separate planes, which Pillow reads wrongly.
    """
    tags = image.tag_v2
    if _TILE_WIDTH in tags:
        check_budget(int(tags[_TILE_LENGTH]), int(tags[_TILE_WIDTH]), max_pixels)
    separate = tags.get(_PLANAR_CONFIGURATION) == _SEPARATE_PLANES
    if separate and max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8:
        raise UnsupportedFormat(
            "A TIFF with more than 8 bits in separate colour planes is not decoded here."
        )
    # A compressed image is one task for libtiff, which checks its strips itself.
    planes = len(image.getbands()) if separate and not image.use_load_libtiff else 1
    if _covered_pixels(image) < image.width * image.height * planes:
        raise CorruptImage("The TIFF's strips or tiles do not cover the image.")


def is_white_zero(image: TiffImageFile) -> bool:
    """Tell whether 0 is white; Pillow inverts such images only up to 8 bits."""
    return image.tag_v2.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO


def is_turned(image: TiffImageFile) -> bool:
    """Tell whether Pillow turns the image upright, for which it holds it twice."""
    return bool(image.tag_v2.get(_ORIENTATION, _UPRIGHT) != _UPRIGHT)


def unpacked_bytes(image: TiffImageFile) -> int:
    """Tell how many bytes libtiff unpacks at once: one strip or tile, which may be all of it."""
    if not image.use_load_libtiff:
        return 0
    tags = image.tag_v2
    columns = int(tags.get(_TILE_WIDTH, image.width))
    strip = min(int(tags.get(_ROWS_PER_STRIP, image.height)), image.height)
    rows = int(tags.get(_TILE_LENGTH, strip))
    samples = int(tags.get(_SAMPLES_PER_PIXEL, 1))
    bits = int(max(tags.get(_BITS_PER_SAMPLE, (1,))))
    return columns * rows * samples * bits // 8


def _covered_pixels(image: TiffImageFile) -> int:
    boxes = (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
