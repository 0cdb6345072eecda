"""Radiographs without a patient, and their files: what the tests read instead of real images."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

Plane = NDArray[np.float64]
Pixels = NDArray[np.generic]

# A fixed identifier, so that the same pixels are always the same bytes.
INSTANCE_UID = UID("2.25.271828182845904523536028747135266249775")
RIBS = 9


def synthetic_radiograph(
    rows: int = 256, columns: int = 256, opacity: float = 0.0, seed: int = 0
) -> NDArray[np.uint8]:
    """Draw a frontal chest: thorax, two lungs, mediastinum, heart, ribs and noise; bone is bright.

    ``opacity`` is how white the patient's right lower lung is, 0 clear to 1 as dense as the heart.
    The noise, the body's width and the place of the opacity follow from ``seed``.
    """
    random = np.random.default_rng(seed)
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    width = 1 + 0.04 * random.standard_normal()
    lungs = np.maximum(
        _ellipse(y, x, (-0.05, -0.4), (0.65, 0.28 * width)),
        _ellipse(y, x, (-0.05, 0.4), (0.65, 0.28 * width)),
    )
    infiltrate = _ellipse(y, x, random.uniform((0.1, -0.45), (0.3, -0.35)), (0.25, 0.2))
    image = 15 + 140 * _ellipse(y, x, (0.15, 0.0), (1.1, 0.88 * width))
    image = image - 110 * lungs + 25 * lungs * _ribs(y, x)
    image = image + 65 * _ellipse(y, x, (0.25, 0.08), (0.35, 0.24))
    image = image + 30 * _ellipse(y, x, (0.0, 0.0), (1.0, 0.1))
    image = image + 110 * opacity * lungs * infiltrate + random.normal(0, 3, image.shape)
    grays: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return grays


def saved(picture: Pixels | Image.Image, format_name: str, **options: object) -> bytes:
    """Encode with Pillow, by any of its options."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def as_jpeg(pixels: Pixels, quality: int = 95) -> bytes:
    """Encode uint8 pixels, shape (rows, columns) or (rows, columns, 3), as baseline JPEG."""
    return saved(pixels, "JPEG", quality=quality)


def as_png(pixels: Pixels) -> bytes:
    """Encode uint8 or uint16 gray, or uint8 RGB or RGBA pixels, as PNG."""
    return saved(pixels, "PNG")


def as_tiff(pixels: Pixels) -> bytes:
    """Encode uint8 or uint16 gray, or uint8 RGB pixels, as TIFF."""
    return saved(pixels, "TIFF")


def as_dicom(pixels: Pixels, **attributes: object) -> bytes:
    """Write stored values as a DICOM file: a DX image, Explicit VR Little Endian.

    Args:
        pixels: Shape (rows, columns) or (rows, columns, 3), and frames in front where
            ``NumberOfFrames`` is given; an integer dtype of 8 to 32 bits, float32 or float64.
        attributes: Values by DICOM keyword, which override what follows from ``pixels``; None
            removes the attribute. ``TransferSyntaxUID`` encodes the file otherwise, where an
            encoder is installed; JPEG baseline is encoded with Pillow. ``PixelData`` takes bytes
            that are encoded already, or the codestreams of its frames in a list.
    """
    syntax = UID(str(attributes.pop("TransferSyntaxUID", ExplicitVRLittleEndian)))
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = INSTANCE_UID
    dataset.Modality = "DX"
    encoded = attributes.pop("PixelData", None)
    _describe(dataset, pixels, frames=int(str(attributes.get("NumberOfFrames") or 1)))
    for keyword, value in attributes.items():
        _override(dataset, keyword, value)
    if isinstance(encoded, list):
        encoded = encapsulate(encoded)
    if isinstance(encoded, bytes):
        dataset.add_new("PixelData", "OB", encoded)
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        _encode(dataset, pixels, syntax)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _ellipse(
    y: Plane, x: Plane, centre: tuple[float, float] | Plane, radii: tuple[float, float]
) -> Plane:
    """1 inside, 0 outside, with a soft edge as bodies have."""
    distance = np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1])
    return np.asarray(1 / (1 + np.exp(np.clip(20 * (distance - 1), -50, 50))))


def _ribs(y: Plane, x: Plane) -> Plane:
    """Bright bands that sink to both sides, 0 to 1."""
    return np.asarray(np.clip(np.sin(RIBS * np.pi * (y - 0.35 * np.abs(x))), 0, 1))


def _describe(dataset: Dataset, pixels: Pixels, *, frames: int) -> None:
    frame_shape = pixels.shape[1:] if frames > 1 else pixels.shape
    dataset.Rows, dataset.Columns, *samples = frame_shape
    dataset.SamplesPerPixel = samples[0] if samples else 1
    dataset.PhotometricInterpretation = "RGB" if samples else "MONOCHROME2"
    if samples:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    if pixels.dtype.kind in "iu":
        dataset.BitsStored = dataset.BitsAllocated
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")


def _override(dataset: Dataset, keyword: str, value: object) -> None:
    if value is None:
        delattr(dataset, keyword)
        return
    setattr(dataset, keyword, value)
    if keyword == "BitsStored" and isinstance(value, int):
        dataset.HighBit = max(value - 1, 0)


def _encode(dataset: Dataset, pixels: Pixels, syntax: UID) -> None:
    if pixels.dtype.kind == "f":
        keyword = "FloatPixelData" if pixels.dtype.itemsize == 4 else "DoubleFloatPixelData"
        setattr(dataset, keyword, pixels.tobytes())
    elif syntax == JPEGBaseline8Bit:
        dataset.PixelData = encapsulate([as_jpeg(pixels)])
        dataset["PixelData"].VR = "OB"
    else:
        stored = pixels.astype(
            pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")
        )
        dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    if syntax.is_compressed and syntax != JPEGBaseline8Bit and not syntax.is_deflated:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
