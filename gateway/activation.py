"""Where the model saw what it saw: a picture for every viewer, a map for those that overlay it.

Written with pydicom alone: with highdicom's classes they took 100 MB more, and 300 for large films.
"""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from contract.errors import ContractError
from contract.radiograph import decode
from gateway.errors import Permanent
from gateway.report import (
    NOTICE,
    Source,
    coded,
    concept_of,
    document,
    item,
    reference_to,
)
from gateway.service import Reading
from gateway.tables import derived_uid

_LONGEST_SIDE = 1024
_OPACITY = 0.45
_RED = (255, 40, 0)
_BAND = 1 / 28
_ABNORMAL = ("49755003", "SCT", "Morphologically abnormal structure")
_AI = ("123110", "DCM", "Artificial Intelligence")
_SEGMENTATION = ("113076", "DCM", "Segmentation")
_LOSSY = tuple(f"LossyImageCompression{part}" for part in ("", "Ratio", "Method"))
_PLACE = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_SOURCE = ("121322", "DCM", "Source image for image processing operation")


def secondary_capture(key: str, reading: Reading, source: Source) -> Dataset:
    """The radiograph in colour, with the heatmap over it and the notice burnt in.

    Permanent where the image cannot be decoded. Source: DICOM PS3.3 A.8.1.
    """
    try:
        image = decode(source.file.read_bytes(), frame=source.frame)
    except ContractError as error:
        raise Permanent(f"A secondary capture cannot be drawn: {error}") from error
    # The heatmap lies over the image as it was sent, and not as it was turned upright.
    pixels = image.turned.undo(image.pixels)
    gray = Image.fromarray((pixels // (np.iinfo(pixels.dtype).max // 255)).astype(np.uint8))
    gray.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    strength = _heatmap(reading, gray.size).point(lambda value: value * _OPACITY)
    shown = gray.convert("RGB")
    shown.paste(_RED, mask=strength)
    framed = _with_notice(shown, reading)
    picture = document(
        key,
        "sc",
        reading,
        source.header,
        Modality="OT",
        ConversionType="WSD",
        ImageType=["DERIVED", "SECONDARY", "OTHER"],
        ImageComments=NOTICE,
        BurnedInAnnotation="YES",
        PatientOrientation=None,
        Laterality=None,
        **_losses(source.header),
    )
    return _with_pixels(picture, framed)


def activation_map(key: str, reading: Reading, source: Source) -> Dataset:
    """The activation over the pixels of the radiograph: a fractional segmentation of one frame.

    Of 255, a pixel has the share of the full strength that the model's heatmaps are drawn with.
    A parametric map would need a frame of reference, which a radiograph has not.

    Source: DICOM PS3.3 A.51, C.7.6.16, C.7.6.17, C.8.20.
    """
    header, dimensions = source.header, derived_uid(key, "dimensions")
    index = item(
        DimensionOrganizationUID=dimensions,
        DimensionIndexPointer=Tag("ReferencedSegmentNumber"),
        FunctionalGroupPointer=Tag("SegmentIdentificationSequence"),
    )
    in_series = item(
        SeriesInstanceUID=header.SeriesInstanceUID, ReferencedInstanceSequence=reference_to(header)
    )
    drawn = document(
        key,
        "map",
        reading,
        header,
        Modality="SEG",
        ImageType=["DERIVED", "PRIMARY"],
        ContentLabel="ACTIVATION",
        ContentDescription="Activation, as a share of full strength",
        ContentCreatorName=None,
        PatientOrientation=None,
        SegmentationType="FRACTIONAL",
        SegmentationFractionalType="OCCUPANCY",
        MaximumFractionalValue=255,
        NumberOfFrames=1,
        SegmentSequence=_segment(key, reading),
        DimensionOrganizationSequence=item(DimensionOrganizationUID=dimensions),
        DimensionIndexSequence=index,
        PerFrameFunctionalGroupsSequence=_frame(header),
        ReferencedSeriesSequence=in_series,
        **{"LossyImageCompression": "00", **_losses(header), **_place(header)},
    )
    return _with_pixels(drawn, _heatmap(reading, (header.Columns, header.Rows)))


def _segment(key: str, reading: Reading) -> bytes:
    label, model = reading.result["heatmap"]["label"], reading.model
    named = {finding["label"]: finding for finding in reading.result["findings"]}
    algorithm = item(
        AlgorithmFamilyCodeSequence=coded(_AI),
        AlgorithmName=model["name"],
        AlgorithmVersion=str(model["version"]),
        AlgorithmParameters=f"digest={reading.digest}",
    )
    return item(
        SegmentNumber=1,
        SegmentLabel=label,
        SegmentedPropertyCategoryCodeSequence=coded(_ABNORMAL),
        SegmentedPropertyTypeCodeSequence=coded(concept_of(named[label])),
        SegmentAlgorithmType="AUTOMATIC",
        SegmentAlgorithmName=model["name"],
        SegmentationAlgorithmIdentificationSequence=algorithm,
        TrackingID=label,
        TrackingUID=derived_uid(key, f"finding/{label}"),
    )


def _frame(header: Dataset) -> bytes:
    source = item(
        ReferencedSOPClassUID=header.SOPClassUID,
        ReferencedSOPInstanceUID=header.SOPInstanceUID,
        PurposeOfReferenceCodeSequence=coded(_SOURCE),
        SpatialLocationsPreserved="YES",
    )
    derivation = item(DerivationCodeSequence=coded(_SEGMENTATION), SourceImageSequence=source)
    return item(
        FrameContentSequence=item(DimensionIndexValues=1),
        DerivationImageSequence=derivation,
        SegmentIdentificationSequence=item(ReferencedSegmentNumber=1),
    )


def _losses(header: Dataset) -> dict[str, object]:
    """What the image says that it lost, for good. Source: DICOM PS3.3 C.7.6.1.1.5."""
    return {keyword: header[keyword].value for keyword in _LOSSY if header.get(keyword)}


def _place(header: Dataset) -> dict[str, object]:
    """Where the image lies, as far as it says it."""
    if not all(header.get(keyword) for keyword in _PLACE):
        return {"SharedFunctionalGroupsSequence": item()}
    measures = {keyword: header.get(keyword) for keyword in ("PixelSpacing", "SliceThickness")}
    shared = item(
        PixelMeasuresSequence=item(**measures),
        PlaneOrientationSequence=item(ImageOrientationPatient=header.ImageOrientationPatient),
        PlanePositionSequence=item(ImagePositionPatient=header.ImagePositionPatient),
    )
    place = {"FrameOfReferenceUID": header.FrameOfReferenceUID, "PositionReferenceIndicator": None}
    return {"SharedFunctionalGroupsSequence": shared, **place}


def _with_pixels(drawn: Dataset, picture: Image.Image) -> Dataset:
    drawn.SamplesPerPixel, drawn.PhotometricInterpretation = 1, "MONOCHROME2"
    if picture.mode == "RGB":
        drawn.SamplesPerPixel, drawn.PhotometricInterpretation = 3, "RGB"
        drawn.PlanarConfiguration = 0
    drawn.Rows, drawn.Columns = picture.height, picture.width
    drawn.BitsAllocated = drawn.BitsStored = 8
    drawn.HighBit, drawn.PixelRepresentation = 7, 0
    drawn.add_new("PixelData", "OB", picture.tobytes())
    return drawn


def _heatmap(reading: Reading, size: tuple[int, int]) -> Image.Image:
    """The strength, 0 to 255, in an image of this width and height."""
    data = base64.b64decode(reading.result["heatmap"]["data"])
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("L").resize(size, Image.Resampling.BILINEAR)


def _with_notice(picture: Image.Image, reading: Reading) -> Image.Image:
    height = max(14, round(picture.height * _BAND))
    font = ImageFont.load_default(height * 0.7)
    framed = Image.new("RGB", (picture.width, picture.height + 2 * height))
    framed.paste(picture, (0, height))
    draw = ImageDraw.Draw(framed)
    answer = f"{reading.model['name']} {reading.model['version']}: {reading.result['decision']}"
    draw.text((4, 1), NOTICE, fill="yellow", font=font)
    draw.text((4, height + picture.height + 1), answer, fill="yellow", font=font)
    return framed
