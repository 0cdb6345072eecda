"""How much memory it takes to decode a JPEG, a PNG or a TIFF, as its header says."""

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from contract.deep_colour import GRAY_WITH_ALPHA, is_deep, raw_mode
from contract.tiff import is_turned, unpacked_bytes

# What Pillow takes for a pixel of a mode; all others take four bytes.
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_COEFFICIENT_BYTES = 2


def bytes_per_pixel(image: ImageFile) -> float:
    """Tell how many bytes are held at once for each pixel of an image that is not loaded yet."""
    if isinstance(image, JpegImageFile):
        # A JPEG in several scans keeps the coefficients of all its components until the last one.
        decoded = 1 if image.layers <= 3 else 4
        return decoded + _COEFFICIENT_BYTES * image.layers
    decoded = _MODE_BYTES.get(image.mode, 4)
    gray = 2 if image.mode.startswith("I") or image.mode == "F" or is_deep(image) else 1
    # The high and the low bytes of deep colour are two images.
    first = decoded if is_deep(image) and raw_mode(image) != GRAY_WITH_ALPHA else 0
    decoded = 4 if is_deep(image) else decoded
    if not isinstance(image, TiffImageFile):
        return first + decoded + gray
    turned = decoded if is_turned(image) else 0
    while_loading = decoded + max(turned, unpacked_bytes(image) / (image.width * image.height))
    return first + max(while_loading, decoded + gray)
