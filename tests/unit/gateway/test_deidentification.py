import io
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from gateway.cli import app
from gateway.deidentification import deidentify_file
from tests.gateway.drawn import ROOT, film

NAMES = ("Drawn^Somebody", "SECRET-ID", "ACCESSION-7", "Hospital of Nowhere", "19610203", "103059")


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def telling_film(number: int) -> bytes:
    """A film whose header tells who it is of, at every depth."""
    physician = item(PersonName="Drawn^Somebody", InstitutionName="Hospital of Nowhere")
    source = item(
        ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.1.1",
        ReferencedSOPInstanceUID=f"{ROOT}.1.99",
        PatientName="Drawn^Somebody",
        PurposeOfReferenceCodeSequence=[item(CodeMeaning="X", InstitutionName="SECRET-ID")],
    )
    image = film(
        number,
        PatientName="Drawn^Somebody",
        PatientID="SECRET-ID",
        PatientBirthDate="19610203",
        StudyDate="19610203",
        AcquisitionDateTime="19610203103059",
        StudyTime="103059",
        AccessionNumber="ACCESSION-7",
        InstitutionName="Hospital of Nowhere",
        StudyDescription="Drawn^Somebody, chest",
        PatientComments="SECRET-ID",
        ReferringPhysicianIdentificationSequence=[physician],
        SourceImageSequence=[source],
        StudyInstanceUID=f"{ROOT}.2.1",
        BurnedInAnnotation="YES",
    )
    dataset = pydicom.dcmread(io.BytesIO(image))
    block = dataset.private_block(0x0029, "NOBODY'S", create=True)
    block.add_new(1, "LO", "Hospital of Nowhere")
    dataset.file_meta.SourceApplicationEntityTitle = "SECRET-ID"
    dataset.preamble = b"Drawn^Somebody".ljust(128)
    copy = io.BytesIO()
    dataset.save_as(copy)
    return copy.getvalue()


def write(folder: Path, *images: bytes) -> list[Path]:
    folder.mkdir()
    files = [folder / f"Drawn^Somebody-{number}.dcm" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(image)
    return files


def test_nothing_of_the_patient_is_left_at_any_depth_and_the_pixels_are_the_same(
    tmp_path: Path,
) -> None:
    file, of_the_same_study = write(tmp_path / "in", telling_film(1), telling_film(2))
    before = pydicom.dcmread(file)

    copy = deidentify_file(file, tmp_path)
    other = pydicom.dcmread(deidentify_file(of_the_same_study, tmp_path))

    written = copy.read_bytes()
    assert all(name.encode() in file.read_bytes() for name in NAMES)
    assert [name for name in NAMES if name.encode() in written] == []
    assert ROOT.encode() not in written
    after = pydicom.dcmread(copy)
    assert after.PixelData == before.PixelData
    assert (after.Modality, after.Rows, after.ViewPosition) == ("DX", before.Rows, "PA")
    assert after.PatientIdentityRemoved == "YES"
    assert after.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert after.BurnedInAnnotation == "YES"
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.SourceImageSequence[0].ReferencedSOPInstanceUID
    # What belonged together belongs together still.
    assert after.StudyInstanceUID == other.StudyInstanceUID
    assert after.SOPInstanceUID != other.SOPInstanceUID


@pytest.mark.skipif(which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_a_copy_is_valid_where_the_film_was(tmp_path: Path) -> None:
    [file] = write(tmp_path / "in", telling_film(1))

    copy = deidentify_file(file, tmp_path)

    def errors(of: Path) -> set[str]:
        checked = subprocess.run(["dciodvfy", of], capture_output=True, text=True, check=False)
        return {line for line in checked.stderr.splitlines() if line.startswith("Error")}

    assert errors(copy) <= errors(file)


def test_the_command_copies_images_alone_and_says_that_burnt_in_text_stays(tmp_path: Path) -> None:
    write(tmp_path / "in", telling_film(1), b"no DICOM", film(2, Rows=None))

    ended = CliRunner().invoke(app, ["deidentify", str(tmp_path / "in"), str(tmp_path / "out")])

    assert ended.exit_code == 1
    assert "1 copied, 2 refused" in ended.output
    assert "2.dcm: refused: It holds no image" in ended.output
    assert "burnt-in text" in ended.output
    [copy] = (tmp_path / "out").iterdir()
    assert "Drawn" not in copy.name
