"""Bytes in, gray pixels out: the only code of this project that opens an image."""

import logging
import re
import warnings

from contract.cost import DecodeCost, estimate_cost
from contract.dicom import read_dicom
from contract.dicom_facts import DicomFacts
from contract.formats import sniff
from contract.frame import Radiograph
from contract.raster import read_raster

__all__ = ["DicomFacts", "Radiograph", "decode"]

# The category is narrow: deprecations stay visible to those who develop.
_LIBRARIES = r"PIL\.|pydicom\."
_FILTER = ("ignore", None, UserWarning, re.compile(_LIBRARIES), 0)


def decode(
    data: bytes,
    *,
    frame: int = 1,
    max_pixels: int = 100_000_000,
    at_least: tuple[int, int] | None = None,
    cost: DecodeCost | None = None,
) -> Radiograph:
    """Decode an image file to gray pixels; its content decides the format.

    Colour becomes ITU-R BT.601 luma, alpha is composited over black. 16-bit PNG and TIFF are scaled
    from the smallest of 8, 10, 12, 14 and 16 bits that holds their largest sample. DICOM goes
    through its modality and VOI tables; CT through one lung window.

    Args:
        data: The whole file.
        frame: Which frame of a DICOM image or page of a TIFF, from 1.
        max_pixels: The largest rows times columns, read from the header before decoding.
        at_least: The (height, width) that is needed: a JPEG may be decoded at a reduced scale.
        cost: What ``estimate_cost`` gave for these arguments; None has it worked out here.

    Raises:
        ImageError: One of its kinds in ``contract.errors``.
        MemoryError: The machine has less memory left than that takes; nothing is wrong with the
            image. A plug-in of pydicom that runs out of memory gives CorruptImage all the same.
    """
    if cost is None:
        estimate_cost(data, frame=frame, max_pixels=max_pixels)
    _mute_imaging_libraries()
    name = sniff(data)
    if name == "DICOM":
        return read_dicom(data, frame=frame)
    return read_raster(data, name, frame=frame, max_pixels=max_pixels, at_least=at_least)


def _mute_imaging_libraries() -> None:
    """Ignore what Pillow and pydicom say of odd files: it may quote a value, and so a patient."""
    # For the whole process and by each call: ``catch_warnings`` is not safe among threads.
    log = logging.getLogger("pydicom")
    if log.level <= logging.CRITICAL:
        log.setLevel(logging.CRITICAL + 1)
    if _FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=_LIBRARIES)
