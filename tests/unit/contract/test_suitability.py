import warnings
from pathlib import Path

import numpy as np
import pytest

from contract.errors import UnsuitableImage
from contract.manifest import ModelManifest, read_manifest
from contract.radiograph import Radiograph, decode
from contract.suitability import check_suitable
from tests.synthetic import as_dicom, as_png

MODELS = Path(__file__).resolve().parents[3] / "models"
XRAY = read_manifest(MODELS / "xray-pneumonia" / "2")
(NEWEST,) = (MODELS / "ct-covid").glob("[0-9]*")
CT = read_manifest(NEWEST)
PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


def dicom(**attributes: object) -> Radiograph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return decode(as_dicom(PIXELS, **attributes))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"Modality": "CR"},
        {"Modality": ""},
        {"BodyPartExamined": "CHEST PA"},
        {"BodyPartExamined": ""},
        {"ViewPosition": "AP"},
        {"ViewPosition": "LLD"},
        {"PatientOrientation": ["R", "F"]},
    ],
    ids=str,
)
def test_a_frontal_radiograph_of_the_chest_is_suitable(attributes: dict[str, object]) -> None:
    check_suitable(dicom(**attributes).dicom, XRAY)


def test_a_file_that_says_nothing_is_suitable() -> None:
    check_suitable(decode(as_png(PIXELS)).dicom, XRAY)


@pytest.mark.parametrize(
    ("manifest", "attributes", "message"),
    [
        (XRAY, {"Modality": "CT"}, "modality is CT, as Modality says; xray-pneumonia takes CR, DX"),
        (CT, {"Modality": ""}, "modality is DX, as SOP Class UID says; ct-covid takes CT."),
        (XRAY, {"Modality": "DOE"}, "none that DICOM defines, as Modality says"),
        (XRAY, {"Modality": None, "SOPClassUID": "1.2.3"}, "modality is not given"),
        (XRAY, {"BodyPartExamined": "KNEE"}, "as Body Part Examined says"),
        (XRAY, {"ViewPosition": "LL"}, "lateral, as View Position says"),
        (XRAY, {"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING, as Presentation"),
    ],
    ids=str,
)
def test_any_other_image_is_refused_by_the_attribute_that_says_so(
    manifest: ModelManifest, attributes: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsuitableImage, match=message):
        check_suitable(dicom(**attributes).dicom, manifest)


def test_what_stands_in_free_text_is_not_quoted() -> None:
    with pytest.raises(UnsuitableImage) as caught:
        check_suitable(dicom(BodyPartExamined="Doe^Jane").dicom, XRAY)

    assert "Doe" not in str(caught.value)


def test_the_view_of_a_slice_does_not_matter() -> None:
    check_suitable(dicom(Modality="CT", ViewPosition="LL").dicom, CT)
