"""What an image file says of itself beside its gray pixels: colour mode, depth, quality, tint.

``contract.radiograph.decode`` gives gray, for a model may see nothing else. A tint is lost in it,
and a tint that tells the class is one of the things looked for here. So the header and the colours
of JPEG, PNG and TIFF are read with Pillow, for these facts alone; no pixel of it goes any further.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.TiffTags import TAGS_V2

from contract.dicom_file import read_image_data_set
from contract.dicom_header import MONOCHROME, read_header
from contract.radiograph import Radiograph

# Colours are looked at in a small copy; a tint covers areas, and a small copy is free of the noise
# that JPEG puts on single pixels.
SIDE = 96
# Rounding in colour conversion makes channels of gray differ by a level or two.
COLOURED_LEVELS = 4
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
BITS_PER_SAMPLE = next(tag for tag, info in TAGS_V2.items() if info.name == "BitsPerSample")
PNG_DEPTH_OFFSET = 24
STANDARD_LUMINANCE_SUM = 3688


@dataclass(frozen=True, slots=True)
class Container:
    """How an image is stored.

    ``mode`` is Pillow's name of the colour mode, or a DICOM's photometric interpretation; ``bits``
    counts those of one sample. ``jpeg_quality``, 1 to 100, is None where the file is no JPEG.
    ``coloured`` is the share of pixels whose channels differ, ``tint`` by how many gray levels
    they differ on average; both are None for a DICOM in colour.
    """

    mode: str
    bits: int
    jpeg_quality: float | None
    coloured: float | None
    tint: float | None


def read_container(data: bytes, radiograph: Radiograph) -> Container:
    """Read how an image is stored.

    Args:
        data: The whole file.
        radiograph: What ``decode`` has made of it, which tells that the file is sound.

    Raises:
        ImageError: The header of a DICOM contradicts itself.
    """
    if radiograph.dicom is not None:
        mode = radiograph.dicom.photometric_interpretation
        header = read_header(read_image_data_set(data, radiograph.rows * radiograph.columns))
        tint = 0.0 if mode in MONOCHROME else None
        return Container(mode, header.bits_stored, None, tint, tint)
    with Image.open(io.BytesIO(data), formats=[radiograph.format]) as image:
        mode, bits, quality = image.mode, _bits(image, data), _jpeg_quality(image)
        return Container(mode, bits, quality, *_colour(image))


def _bits(image: Image.Image, data: bytes) -> int:
    """The bits of one sample.

    Source: W3C PNG (Third Edition) 11.2.1, TIFF 6.0 section 8, ITU-T T.81 B.2.2.
    """
    if isinstance(image, TiffImageFile):
        return max(np.atleast_1d(image.tag_v2.get(BITS_PER_SAMPLE, 1)).tolist())
    return image.bits if isinstance(image, JpegImageFile) else data[PNG_DEPTH_OFFSET]


def _jpeg_quality(image: Image.Image) -> float | None:
    """Estimate the quality setting of the common encoder from the luminance table.

    Source: ITU-T T.81 K.1 for the standard table, whose 64 values sum to 3688; the way in which
    libjpeg scales it by the quality.
    """
    if not isinstance(image, JpegImageFile):
        return None
    percent = 100 * sum(image.quantization[0]) / STANDARD_LUMINANCE_SUM
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return round(min(max(quality, 1.0), 100.0), 1)


def _colour(image: Image.Image) -> tuple[float, float]:
    """The share of coloured pixels, and the mean difference between the channels."""
    if image.mode in GRAY_MODES or image.mode.startswith("I;16"):
        return 0.0, 0.0
    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    small = _over_black(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    differences = np.ptp(np.asarray(small).astype(np.int16), axis=-1)
    return float((differences > COLOURED_LEVELS).mean()), float(differences.mean())


def _over_black(image: Image.Image) -> Image.Image:
    """As ``decode`` does: what is transparent may have any colour."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    colour = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colour.size, "black"), colour).convert("RGB")
