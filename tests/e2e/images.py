"""The images that the tests hand to the page: synthetic, without a patient."""

import struct

import numpy as np
from pydicom.dataset import Dataset

from tests.synthetic import Pixels, as_dicom, as_jpeg, as_png, as_tiff, synthetic_radiograph

PATIENT_NAME = "Example^Erika"
PATIENT_ID = "TEST-0815"


def normal_jpeg(seed: int = 0) -> bytes:
    """What the tests' model calls normal: a radiograph, mostly dark."""
    return as_jpeg(synthetic_radiograph(320, 280, seed=seed))


def pneumonia_png() -> bytes:
    """What the tests' model calls pneumonia: nearly white."""
    return as_png(np.full((200, 200), 250, np.uint8))


def undecided_png() -> bytes:
    """What the tests' model does not decide on: the gray between."""
    return as_png(np.full((200, 200), 128, np.uint8))


def corrupt_jpeg() -> bytes:
    """A JPEG that ends too early."""
    return normal_jpeg()[:2000]


def deep_radiograph(rows: int = 512, columns: int = 480) -> Pixels:
    """Twelve bits of a radiograph, uint16 of shape (rows, columns)."""
    return (synthetic_radiograph(rows, columns, opacity=0.8).astype(np.uint16) * 16).astype(
        np.uint16
    )


def bands(values: list[int], dtype: type[np.generic] = np.uint16, size: int = 256) -> Pixels:
    """Upright bands of equal width, one for each value, shape (size, size)."""
    return np.tile(np.repeat(np.asarray(values, dtype), size // len(values)), (size, 1))


def white_is_zero(pixels: Pixels) -> bytes:
    """A TIFF of these samples, in which the smallest is white."""
    photometric = struct.Struct("<HHIH")
    tiff = as_tiff(pixels)
    black_is_zero = photometric.pack(262, 3, 1, 1)
    assert tiff.count(black_is_zero) == 1
    return tiff.replace(black_is_zero, photometric.pack(262, 3, 1, 0))


def lookup_table(first: int, entries: list[int], bits: int) -> Dataset:
    """An item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries))
    return item


def without_preamble(file: bytes) -> bytes:
    """The data set of a DICOM file in Explicit VR, as old archives kept it: nothing before it."""
    return file[file.index(b"\x08\0\x16\0UI") :]


def chest_dicom(**attributes: object) -> bytes:
    """A DX image with a window, spacing and a made-up patient."""
    described: dict[str, object] = {
        "BitsStored": 12,
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientName": PATIENT_NAME,
        "PatientID": PATIENT_ID,
        "PixelSpacing": [0.2, 0.2],
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        **attributes,
    }
    return as_dicom(deep_radiograph(), **described)


def ct_dicom(frames: int = 1, **attributes: object) -> bytes:
    """A CT slice in Hounsfield units: air, and a soft disc that grows from frame to frame."""
    y, x = np.ogrid[-1:1:128j, -1:1:128j]
    stack = [
        np.where(np.hypot(y, x) < 0.3 + 0.2 * frame, 40, -900).astype(np.int16)
        for frame in range(frames)
    ]
    return as_dicom(
        np.stack(stack) if frames > 1 else stack[0],
        Modality="CT",
        BodyPartExamined="CHEST",
        RescaleIntercept=0,
        RescaleSlope=1,
        NumberOfFrames=frames if frames > 1 else 1,
        **attributes,
    )
