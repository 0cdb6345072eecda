"""CT is judged as an axial slice in Hounsfield units, or refused by the name of what says no."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from contract.errors import UnsuitableImage
from contract.manifest import read_manifest
from contract.radiograph import Radiograph, decode
from contract.suitability import check_suitable
from tests.odd_files import as_lut_item
from tests.synthetic import as_dicom

(NEWEST,) = (Path(__file__).resolve().parents[3] / "models" / "ct-covid").glob("[0-9]*")
CT = read_manifest(NEWEST)
# Below the lung window, its middle, and above it; the middle is half of the full scale.
HOUNSFIELD, LUNG_GRAYS = np.array([[-1350, -600, 150]], np.int16), [0, 32789, 65535]
SOFT_TISSUE = {"WindowCenter": 40, "WindowWidth": 400}
RESCALE = {"RescaleSlope": 1, "RescaleIntercept": 0}


def slice_of(pixels: np.ndarray, attributes: dict[str, object]) -> Radiograph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return decode(as_dicom(pixels, Modality="CT", **SOFT_TISSUE | attributes))


def groups(name: str, **attributes: object) -> list[Dataset]:
    item, outer = Dataset(), Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    setattr(outer, f"{name}Sequence", [item])
    return [outer]


@pytest.mark.parametrize(
    ("pixels", "rescale"),
    [
        (HOUNSFIELD, RESCALE),
        # Either alone is enough: the other has the value that changes nothing.
        (HOUNSFIELD + 1024, {"RescaleIntercept": -1024}),
        ((HOUNSFIELD + 1350).astype(np.uint16), {"RescaleIntercept": "-1350", "RescaleSlope": ""}),
        (HOUNSFIELD, {"RescaleSlope": 1}),
        (HOUNSFIELD, RESCALE | {"RescaleType": "hu"}),
        (HOUNSFIELD, RESCALE | {"RescaleType": "Hounsfield Unit"}),
    ],
    ids=str,
)
def test_a_slice_in_hounsfield_units_has_the_lung_window(
    pixels: np.ndarray, rescale: dict[str, object]
) -> None:
    found = slice_of(pixels, rescale)

    assert found.pixels[0].tolist() == pytest.approx(LUNG_GRAYS, abs=25)
    check_suitable(found.dicom, CT)


@pytest.mark.parametrize("rescale", [{}, RESCALE], ids=["no rescale", "identity"])
def test_8_bits_that_reach_no_air_are_a_picture(rescale: dict[str, object]) -> None:
    picture = np.array([[0, 100, 255]], np.uint8)

    found = slice_of(picture, {"WindowCenter": 128, "WindowWidth": 256, **rescale})

    assert found.pixels[0].tolist() == [0, 100, 255]
    check_suitable(found.dicom, CT)


AXIAL_TILTED_BY_30, TILTED_BY_45 = [1, 0, 0, 0, 0.866, -0.5], [1, 0, 0, 0, 0.7071, -0.7071]


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]},
        {"ImageOrientationPatient": AXIAL_TILTED_BY_30},
        {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]},
        {"ImageOrientationPatient": [1, 0, 0]},
    ],
    ids=str,
)
def test_an_axial_slice_is_suitable(attributes: dict[str, object]) -> None:
    check_suitable(slice_of(HOUNSFIELD, {**RESCALE, **attributes}).dicom, CT)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "no axial slice, as Image Type says"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, "as Image Type says"),
        (
            {"SharedFunctionalGroupsSequence": groups("CTImageFrameType", FrameType="LOCALIZER")},
            "as Frame Type says",
        ),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "as Image Orientation .Patient. says"),
        ({"ImageOrientationPatient": TILTED_BY_45}, "as Image Orientation .Patient. says"),
        (
            {
                "SharedFunctionalGroupsSequence": groups(
                    "PlaneOrientation", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
                )
            },
            "as Image Orientation .Patient. says",
        ),
        ({"RescaleType": "Z_EFF"}, "no Hounsfield units, as Rescale Type says"),
        ({"RescaleType": "HU_MOD"}, "as Rescale Type says"),
        ({"ModalityLUTSequence": [as_lut_item(0, [0, 9], 16)]}, "as Modality LUT Sequence says"),
        (
            {"RescaleSlope": "", "RescaleIntercept": ""},
            "as the lack of Rescale Slope and Rescale Intercept says",
        ),
        ({"RescaleIntercept": 40_000}, "as Rescale Intercept says"),
    ],
    ids=str,
)
def test_what_is_no_axial_slice_in_hounsfield_units_is_refused(
    attributes: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsuitableImage, match=message):
        check_suitable(slice_of(HOUNSFIELD, {**RESCALE, **attributes}).dicom, CT)
