"""Where the model saw what it saw: a picture for every viewer, a map for those that overlay it.

Loaded where a rule wants one: highdicom and its tables of the Standard take some 90 MB.
"""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.sc import SCImage
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationFractionalTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from contract.errors import ContractError
from contract.radiograph import decode
from gateway import __version__
from gateway.errors import Permanent
from gateway.headers import MANUFACTURER, MODEL_NAME
from gateway.identifiers import derived_uid
from gateway.reading import Reading
from gateway.report import NOTICE, SERIES_NUMBER, Source, concept_of, with_patient

_LONGEST_SIDE = 1024
_OPACITY = 0.45
_RED = np.array([255.0, 40.0, 0.0])
_BAND = 1 / 28
_ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically abnormal structure")


def secondary_capture(key: str, reading: Reading, source: Source, file: Path) -> SCImage:
    """The radiograph in colour, with the heatmap over it and the notice burnt in.

    Args:
        key: From which its UIDs follow.
        reading: With a heatmap.
        source: The image that was read.
        file: Its file.

    Raises:
        Permanent: The image cannot be decoded.
    """
    try:
        image = decode(file.read_bytes(), frame=source.frame)
    except ContractError as error:
        raise Permanent(f"A secondary capture cannot be drawn: {error}") from error
    # The heatmap lies over the image as it was sent, and not as it was turned upright.
    pixels = image.turned.undo(image.pixels)
    gray = Image.fromarray((pixels / (np.iinfo(pixels.dtype).max / 255)).astype(np.uint8))
    gray.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    shown = np.stack([np.asarray(gray, dtype=np.float64)] * 3, axis=-1)
    strength = _heatmap(reading, gray.size)[..., None] / 255 * _OPACITY
    mixed = (shown * (1 - strength) + _RED * strength).astype(np.uint8)
    picture = SCImage.from_ref_dataset(
        with_patient(source.header),
        pixel_array=np.asarray(_with_notice(Image.fromarray(mixed), reading)),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **_head(key, "sc", reading),
    )
    # highdicom wants an orientation of every patient's image; that of a picture is not known.
    for keyword in ("PatientOrientation", "Laterality"):
        setattr(picture, keyword, None)
    picture.BurnedInAnnotation = "YES"
    picture.ImageComments = NOTICE
    return picture


def activation_map(key: str, reading: Reading, source: Source) -> Segmentation:
    """The activation over the pixels of the radiograph: a fractional segmentation.

    Of 255, a pixel has the share of the full strength that the model's heatmaps are drawn with.
    A parametric map would need a frame of reference, which a radiograph has not.

    Args:
        key: From which its UIDs follow.
        reading: With a heatmap.
        source: The image that was read.
    """
    header = with_patient(source.header)
    label = reading.result["heatmap"]["label"]
    named = {finding["label"]: finding for finding in reading.result["findings"]}
    version = str(reading.model["version"])
    described = SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=_ABNORMAL,
        segmented_property_type=CodedConcept(*concept_of(named[label])),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=reading.model["name"],
            family=codes.DCM.ArtificialIntelligence,
            version=version,
            parameters={"digest": reading.digest},
        ),
        tracking_id=label,
        tracking_uid=derived_uid(key, f"finding/{label}"),
    )
    strength = _heatmap(reading, (header.Columns, header.Rows)) / 255
    segmentation = Segmentation(
        [header],
        strength[None, :, :, None].clip(0, 1),
        SegmentationTypeValues.FRACTIONAL,
        [described],
        fractional_type=SegmentationFractionalTypeValues.OCCUPANCY,
        omit_empty_frames=False,
        content_label="ACTIVATION",
        content_description="Activation, as a share of full strength",
        **_head(key, "map", reading),
        software_versions=__version__,
        device_serial_number=reading.digest.removeprefix("sha256:")[:16],
    )
    if "FrameOfReferenceUID" not in header:
        segmentation.PatientOrientation = None
    return segmentation


def _head(key: str, kind: str, reading: Reading) -> dict[str, Any]:
    """What both say of themselves, by highdicom's names."""
    return {
        "series_description": f"{NOTICE}: {reading.model['name']}"[:64],
        "series_instance_uid": derived_uid(key, f"series/{kind}"),
        "series_number": SERIES_NUMBER + ("sr", "sc", "map").index(kind),
        "sop_instance_uid": derived_uid(key, kind),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
    }


def _heatmap(reading: Reading, size: tuple[int, int]) -> NDArray[np.float64]:
    """The strength, 0 to 255, shape (height, width)."""
    data = base64.b64decode(reading.result["heatmap"]["data"])
    with Image.open(io.BytesIO(data)) as picture:
        gray = picture.convert("L").resize(size, Image.Resampling.BILINEAR)
    return np.asarray(gray, dtype=np.float64)


def _with_notice(picture: Image.Image, reading: Reading) -> Image.Image:
    """Burn the notice and the answer into bands above and below the picture."""
    height = max(14, round(picture.height * _BAND))
    font = ImageFont.load_default(height * 0.7)
    framed = Image.new("RGB", (picture.width, picture.height + 2 * height))
    framed.paste(picture, (0, height))
    draw = ImageDraw.Draw(framed)
    answer = f"{reading.model['name']} {reading.model['version']}: {reading.result['decision']}"
    draw.text((4, 1), NOTICE, fill="yellow", font=font)
    draw.text((4, height + picture.height + 1), answer, fill="yellow", font=font)
    return framed
