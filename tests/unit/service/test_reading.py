import warnings

import numpy as np
import pytest

from contract.errors import FrameOutOfRange, NotAnImage, UnsuitableImage
from contract.radiograph import Radiograph, decode
from service.prediction import PredictionOptions, Upload
from service.reading import Fitted, Reader, Reading, Unreadable, check_suitable
from service.repository import ModelRepository, ServedModel
from tests.bundles import make_manifest
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph
from tests.unit.service.test_repository import RecordingSession, served

MANIFEST = make_manifest("sha256:" + 64 * "0")


@pytest.fixture
def reader() -> Reader:
    models = {"ct": {1: served("ct", 1, ("CT",))}, "xray": {1: served("xray", 1, ("CR", "DX"))}}
    return Reader(ModelRepository(models, "xray"), max_pixels=1_000_000)


def read(
    reader: Reader, data: bytes, model: ServedModel | None = None, frame: int = 1
) -> Reading | Unreadable:
    fitted = reader.read(Upload(None, (data,)), model, PredictionOptions(frame=frame))
    return fitted if isinstance(fitted, Unreadable) else reader.assess(fitted, lungs_drawn=False)


def dicom(**attributes: object) -> Radiograph:
    with warnings.catch_warnings():
        # pydicom's writer notices what is no code string.
        warnings.simplefilter("ignore", UserWarning)
        return decode(as_dicom(synthetic_radiograph(40, 40), **attributes))


def test_a_file_in_pieces_is_read_as_one(reader: Reader) -> None:
    data = as_png(np.full((20, 30), 77, np.uint8))

    fitted = reader.read(Upload(None, (data[:9], data[9:])), None, PredictionOptions())

    assert isinstance(fitted, Fitted)
    assert fitted.image.shape == (32, 32, 1)
    assert fitted.image.dtype == np.uint8
    assert np.unique(fitted.image).tolist() == [77]
    assert (fitted.radiograph.rows, fitted.radiograph.columns) == (20, 30)


def test_the_rows_and_columns_are_those_of_the_file(reader: Reader) -> None:
    reading = read(reader, as_jpeg(synthetic_radiograph(900, 700)))

    assert isinstance(reading, Reading)
    assert (reading.rows, reading.columns) == (900, 700)


@pytest.mark.parametrize(("modality", "name"), [("CT", "ct"), ("CR", "xray"), ("DX", "xray")])
def test_the_modality_chooses_the_model(reader: Reader, modality: str, name: str) -> None:
    reading = read(reader, as_dicom(np.full((40, 40), 9, np.int16), Modality=modality))

    assert isinstance(reading, Reading)
    assert reading.model.manifest.name == name


@pytest.mark.parametrize(
    ("data", "frame", "error"),
    [
        (b"not an image", 1, NotAnImage),
        (as_png(np.zeros((8, 8), np.uint8)), 2, FrameOutOfRange),
        (as_dicom(np.zeros((40, 40), np.uint8), Modality="MG"), 1, UnsuitableImage),
    ],
)
def test_what_cannot_be_read_is_named_and_holds_no_pixels(
    reader: Reader, data: bytes, frame: int, error: type[Exception]
) -> None:
    unreadable = read(reader, data, frame=frame)

    assert isinstance(unreadable, Unreadable)
    assert type(unreadable.error) is error
    assert unreadable.error.__traceback__ is None
    assert unreadable.error.__cause__ is unreadable.error.__context__ is None


def test_a_named_model_is_not_chosen_again(reader: Reader) -> None:
    model = ServedModel(MANIFEST, RecordingSession())

    reading = read(reader, as_png(np.zeros((8, 8), np.uint8)), model)

    assert isinstance(reading, Reading)
    assert reading.model is model


@pytest.mark.parametrize("modality", ["CR", "DX"])
def test_a_modality_that_the_model_takes_is_suitable(modality: str) -> None:
    check_suitable(dicom(Modality=modality, BodyPartExamined="CHEST"), MANIFEST)


@pytest.mark.parametrize("body_part", ["", None])
def test_a_body_part_that_is_not_given_is_suitable(body_part: str | None) -> None:
    radiograph = dicom(BodyPartExamined=body_part) if body_part is not None else dicom()

    check_suitable(radiograph, MANIFEST)


def test_a_file_that_is_no_dicom_is_suitable() -> None:
    check_suitable(decode(as_png(np.zeros((8, 8), np.uint8))), MANIFEST)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"Modality": "MG"}, "The modality is MG; tiny takes CR, DX."),
        ({"Modality": ""}, "The modality is not given; tiny takes CR, DX."),
        (
            {"BodyPartExamined": "KNEE"},
            "The body part is another than CHEST, which is what tiny takes.",
        ),
    ],
)
def test_another_modality_or_body_part_is_not(attributes: dict[str, object], says: str) -> None:
    with pytest.raises(UnsuitableImage) as refused:
        check_suitable(dicom(**attributes), MANIFEST)

    assert str(refused.value) == says


@pytest.mark.parametrize("body_part", ["CHEST PA", "CHEST_1_VIEW", "chest"])
def test_a_chest_in_free_text_is_suitable(body_part: str) -> None:
    check_suitable(dicom(BodyPartExamined=body_part), MANIFEST)


@pytest.mark.parametrize(
    "body_part",
    ["KNEE/LEG", "PELVIS-HIP", "Bauch, liegend", ["KNEE", "LEG"], "LUMBAR SPINE LATERAL"],
    ids=str,
)
def test_a_body_part_that_is_no_code_is_not_suitable(body_part: object) -> None:
    with pytest.raises(UnsuitableImage, match="The body part is another than CHEST"):
        check_suitable(dicom(BodyPartExamined=body_part), MANIFEST)


@pytest.mark.parametrize("modality", ["DOE JOHN", "DOE", ["DX", "DOE"]], ids=str)
def test_a_modality_that_dicom_does_not_define_is_not_quoted(modality: object) -> None:
    with pytest.raises(UnsuitableImage) as refused:
        check_suitable(dicom(Modality=modality), MANIFEST)

    assert str(refused.value) == "The modality is none that DICOM defines; tiny takes CR, DX."


@pytest.mark.parametrize("view", ["LL", "RL", "LATERAL", "LAT", "L LAT"])
def test_a_lateral_radiograph_is_not_suitable(view: str) -> None:
    with pytest.raises(UnsuitableImage, match="The view is lateral; tiny takes frontal ones"):
        check_suitable(dicom(ViewPosition=view), MANIFEST)


@pytest.mark.parametrize("view", ["AP", "PA", "LLD", "RLD", "", "LATERAL DECUBITUS"])
def test_a_frontal_radiograph_is_suitable(view: str) -> None:
    check_suitable(dicom(ViewPosition=view), MANIFEST)


def test_the_view_of_another_kind_of_image_is_not_asked() -> None:
    manifest = MANIFEST.model_copy(update={"modalities": ("CT",)})

    check_suitable(dicom(Modality="CT", ViewPosition="LL"), manifest)
