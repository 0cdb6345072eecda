import warnings
from pathlib import Path

import numpy as np
import pytest

from contract.errors import UnsuitableImage
from contract.manifest import ModelManifest, read_manifest
from contract.radiograph import decode
from contract.suitability import check_suitable
from tests.synthetic import as_dicom, as_png

MODELS = Path(__file__).resolve().parents[3] / "models"
XRAY = read_manifest(MODELS / "xray-pneumonia" / "2")
(NEWEST,) = (MODELS / "ct-covid").glob("[0-9]*")
CT = read_manifest(NEWEST)
PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


def check(manifest: ModelManifest, **attributes: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_suitable(decode(as_dicom(PIXELS, **attributes)).dicom, manifest)


@pytest.mark.parametrize(
    ("manifest", "attributes"),
    [
        (XRAY, {"Modality": "CR"}),
        (XRAY, {"Modality": "", "BodyPartExamined": ""}),
        (XRAY, {"BodyPartExamined": "CHEST PA", "ViewPosition": "AP"}),
        (XRAY, {"ViewPosition": "LLD"}),
        (XRAY, {"PatientOrientation": ["R", "F"]}),
        (CT, {"Modality": "CT", "ViewPosition": "LL"}),
    ],
    ids=str,
)
def test_a_frontal_radiograph_of_the_chest_or_a_slice_of_any_view_is_suitable(
    manifest: ModelManifest, attributes: dict[str, object]
) -> None:
    check(manifest, **attributes)


def test_a_file_that_says_nothing_is_suitable() -> None:
    check_suitable(decode(as_png(PIXELS)).dicom, XRAY)


@pytest.mark.parametrize(
    ("manifest", "attributes", "message"),
    [
        (XRAY, {"Modality": "CT"}, "modality is CT, as Modality says; xray-pneumonia takes CR, DX"),
        (CT, {"Modality": ""}, "modality is DX, as SOP Class UID says; ct-covid takes CT."),
        (XRAY, {"Modality": "DOE"}, "none that DICOM defines, as Modality says"),
        (XRAY, {"Modality": None, "SOPClassUID": "1.2.3"}, "modality is not given"),
        (XRAY, {"BodyPartExamined": "Doe^Jane"}, "another than CHEST.*as Body Part Examined says"),
        (XRAY, {"ViewPosition": "LL"}, "lateral, as View Position says"),
        (XRAY, {"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING, as Presentation"),
    ],
    ids=str,
)
def test_any_other_image_is_refused_by_the_attribute_that_says_so_without_its_free_text(
    manifest: ModelManifest, attributes: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsuitableImage, match=message) as caught:
        check(manifest, **attributes)

    assert "doe" not in str(caught.value).lower()
