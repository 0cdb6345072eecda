import io
import json
import subprocess
from pathlib import Path
from typing import Any

import highdicom.sr
import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

from tests.gateway.drawn import film, slice_of
from tests.gateway.stack import Archive, Gateway, Service, dcmsend, eventually

pytestmark = pytest.mark.gateway
# What encodes a film. Of the uncompressed syntaxes DCMTK and the listener agree on the first.
ENCODERS = {
    ImplicitVRLittleEndian: ("dcmconv", "+ti"),
    DeflatedExplicitVRLittleEndian: ("dcmconv", "+td"),
    JPEGBaseline8Bit: ("dcmcjpeg", "+eb", "+un"),
    JPEGExtended12Bit: ("dcmcjpeg", "+ee", "+un"),
    JPEGLossless: ("dcmcjpeg", "+el"),
    JPEGLosslessSV1: ("dcmcjpeg", "+e1"),
    JPEGLSLossless: ("dcmcjpls", "+el"),
    JPEGLSNearLossless: ("dcmcjpls", "+en", "+un"),
    RLELossless: ("dcmcrle",),
    # DCMTK sends what it cannot encode; the drawing's own encoder does.
    JPEG2000Lossless: None,
}


def send(gateway: Gateway, folder: Path, *objects: bytes, calling: str = "STORESCU") -> None:
    files = [folder / f"{number}.dcm" for number in range(len(objects))]
    for file, data in zip(files, objects, strict=True):
        file.write_bytes(data)
    assert gateway.send(*files, calling=calling)


def reports_of(archive: Archive, study: str) -> list[Any]:
    found = archive.reports(StudyInstanceUID=study)
    documents = [highdicom.sr.srread(io.BytesIO(archive.file(name))) for name in found]
    return sorted(documents, key=lambda d: "PredecessorDocumentsSequence" in d)


def the_report_of(archive: Archive, study: str) -> Any:
    eventually(lambda: archive.reports(StudyInstanceUID=study))
    [document] = reports_of(archive, study)
    return document


def said(document: Any) -> dict[str, tuple[float, str]]:
    """Of each finding its probability, and whether it is present."""
    groups = document.content.get_image_measurement_groups()
    return {
        group.tracking_identifier: (
            group.get_measurements()[0].value,
            group.get_qualitative_evaluations()[0].value.meaning,
        )
        for group in groups
        if group.tracking_identifier != "decision"
    }


def told(item: Dataset) -> dict[str, list[Any]]:
    """What the content items of one say, by the meanings of their names; containers as they are."""
    found: dict[str, list[Any]] = {}
    for each in item.ContentSequence:
        value: Any = each
        match each.ValueType:
            case "TEXT":
                value = each.TextValue
            case "CODE":
                value = each.ConceptCodeSequence[0].CodeMeaning
            case "NUM":
                value = each.MeasuredValueSequence[0].NumericValue
            case "IMAGE" if "ContentSequence" not in each:
                value = each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        found.setdefault(each.ConceptNameCodeSequence[0].CodeMeaning, []).append(value)
    return found


def verified(tool: str, file: Path) -> str:
    """What a tool says of a DICOM file."""
    ended = subprocess.run([tool, file], capture_output=True, text=True, check=False)
    return ended.stderr + ended.stdout


def test_a_film_gets_one_report_that_says_what_the_service_says_and_who_read_what_how(
    running_gateway: Gateway, running_archive: Archive, running_service: Service, films: Path
) -> None:
    image = film(1, PixelSpacing=[0.2, 0.25])
    direct = running_service.predict(image)
    header = pydicom.dcmread(io.BytesIO(image))

    send(running_gateway, films, image)

    document = the_report_of(running_archive, header.StudyInstanceUID)
    model, result = direct["model"], direct["results"][0]
    assert {label: value for label, (value, _) in said(document).items()} == pytest.approx(
        {finding["label"]: finding["probability"] for finding in result["findings"]}, abs=1e-5
    )
    if result["decision"] == "refer":
        assert {presence for _, presence in said(document).values()} == {"Undetermined"}
    assert document.PreliminaryFlag == "PRELIMINARY"
    assert document.VerificationFlag == "UNVERIFIED"
    assert "RESEARCH ONLY" in document.SeriesDescription
    assert "research only" in document.ConceptNameCodeSequence[0].CodeMeaning
    assert document.PatientID == header.PatientID
    root = told(document)
    assert root["Observer Type"] == ["Device"]
    assert root["Device Observer Name"] == ["Pneumoscope"]
    assert root["Device Observer Model Name"] == ["Pneumoscope gateway"]
    [library] = told(root["Image Library"][0])["Image Library Group"]
    [shown] = library.ContentSequence
    assert shown.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert told(shown) == {
        "Pixel Data Rows": [header.Rows],
        "Pixel Data Columns": [header.Columns],
        "Horizontal Pixel Spacing": [0.25],
        "Vertical Pixel Spacing": [0.2],
    }
    decision, *findings = map(told, root["Imaging Measurements"][0].ContentSequence)
    for group in (decision, *findings):
        assert group["Finding Site"] == ["Lung"]
        assert group["Algorithm Name"] == [model["name"]]
        assert group["Algorithm Version"] == [str(model["version"])]
        assert group["Algorithm Manufacturer"] == ["Pneumoscope"]
        assert group["Algorithm Parameters"][0] == model["digest"]
        assert group["Source of Measurement"] == [header.SOPInstanceUID]
    points = [float(group["Algorithm Parameters"][1].split()[-1]) for group in findings]
    expected = [finding["operating_point"] for finding in result["findings"]]
    assert points == pytest.approx(expected, rel=1e-5)
    # A drawing is no radiograph, and the service says so.
    failed = [check["name"] for check in result["quality"]["checks"] if not check["passed"]]
    quality = f"not accepted ({', '.join(failed)})" if failed else "accepted"
    assert decision["Comment"] == [
        "Research only. Not for diagnosis.",
        f"Referred: {', '.join(result['reasons'])}.",
        f"Image quality: {quality}.",
    ]


def test_a_film_gets_one_report_however_and_how_often_it_comes(
    running_gateway: Gateway, running_archive: Archive, films: Path
) -> None:
    image = film(2)
    study = pydicom.dcmread(io.BytesIO(image)).StudyInstanceUID
    head = b"--XX\r\nContent-Type: application/dicom\r\n\r\n"
    watched = running_gateway.folder / "watched"

    posted = httpx.post(
        f"{running_gateway.url}/studies",
        content=head + image + b"\r\n--XX--\r\n",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX'},
        trust_env=False,
    )
    for _ in range(10):
        send(running_gateway, films, image)
    (watched / "film.dcm").write_bytes(image)
    (watched / "letter.txt").write_text("no DICOM")

    assert posted.status_code == 200
    assert said(the_report_of(running_archive, study))
    eventually(lambda: [path.name for path in watched.iterdir()] == ["refused"])
    assert (watched / "refused" / "letter.txt").read_text() == "no DICOM"
    eventually(running_gateway.is_idle)
    assert len(running_archive.reports(StudyInstanceUID=study)) == 1


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.keyword)
def test_a_film_is_kept_and_read_in_the_encoding_that_it_was_sent_in(
    running_gateway: Gateway, running_archive: Archive, films: Path, syntax: UID
) -> None:
    study, instance = generate_uid(), generate_uid()
    tool = ENCODERS[syntax]
    as_drawn = syntax if tool is None else ExplicitVRLittleEndian
    image = film(3, StudyInstanceUID=study, SOPInstanceUID=instance, TransferSyntaxUID=as_drawn)
    file = films / "film.dcm"
    file.write_bytes(image)
    if tool:
        subprocess.run([*tool, file, file], check=True)

    assert running_gateway.send(file)

    the_report_of(running_archive, study)
    sent = pydicom.dcmread(file)
    [kept] = [
        dataset
        for file in (running_gateway.folder / "state" / "received").glob("*/*.dcm")
        if (dataset := pydicom.dcmread(file)).SOPInstanceUID == sent.SOPInstanceUID
    ]
    assert sent.file_meta.TransferSyntaxUID == kept.file_meta.TransferSyntaxUID == syntax
    assert kept == sent


def test_other_bytes_under_a_known_uid_are_parked_and_nothing_is_overwritten(
    running_gateway: Gateway, running_archive: Archive, films: Path
) -> None:
    image = film(4)
    dataset = pydicom.dcmread(io.BytesIO(image))
    other = film(4, PatientComments="other")

    send(running_gateway, films, image)
    the_report_of(running_archive, dataset.StudyInstanceUID)
    send(running_gateway, films, other)

    eventually(running_gateway.is_idle)
    parked = running_gateway.rows("instances", "parked")
    assert [row["reason"] for row in parked if row["sop_uid"] == dataset.SOPInstanceUID] == [
        "The SOP Instance UID is that of another object."
    ]
    assert len(running_archive.reports(StudyInstanceUID=dataset.StudyInstanceUID)) == 1


def test_its_own_results_are_never_taken_for_new_work(
    running_gateway: Gateway, running_archive: Archive, films: Path
) -> None:
    image = film(5)
    study = pydicom.dcmread(io.BytesIO(image)).StudyInstanceUID
    send(running_gateway, films, image)
    document = the_report_of(running_archive, study)
    # As another gateway's picture of the same film would come: of a kind that a rule takes.
    picture = film(5, SOPInstanceUID=generate_uid(), StudyInstanceUID=study)
    dataset = pydicom.dcmread(io.BytesIO(picture))
    dataset.Manufacturer, dataset.ManufacturerModelName = "Pneumoscope", "Pneumoscope gateway"
    copy = io.BytesIO()
    dataset.save_as(copy, enforce_file_format=True)
    [report] = running_archive.reports(StudyInstanceUID=study)

    send(running_gateway, films, running_archive.file(report), copy.getvalue())

    eventually(running_gateway.is_idle)
    ignored = {
        row["sop_uid"]: row["reason"] for row in running_gateway.rows("instances", "ignored")
    }
    assert ignored[document.SOPInstanceUID] == "It is a result of a gateway."
    assert ignored[dataset.SOPInstanceUID] == "It is a result of a gateway."
    assert len(running_archive.reports(StudyInstanceUID=study)) == 1


def test_a_ct_series_gets_one_report_and_late_slices_a_new_version_of_it(
    running_gateway: Gateway, running_archive: Archive, running_service: Service, films: Path
) -> None:
    slices = [slice_of(1, number) for number in range(1, 41)]
    study = pydicom.dcmread(io.BytesIO(slices[0])).StudyInstanceUID

    send(running_gateway, films, *reversed(slices[:39]))
    first = the_report_of(running_archive, study)
    send(running_gateway, films, slices[39])
    eventually(lambda: len(running_archive.reports(StudyInstanceUID=study)) == 2)

    _, second = reports_of(running_archive, study)
    assert "PredecessorDocumentsSequence" not in first
    [predecessor] = second.PredecessorDocumentsSequence
    referenced = predecessor.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == first.SOPInstanceUID
    chosen = [slices[round(i * 39 / 31)] for i in range(32)]
    findings = [running_service.predict(image)["results"][0]["findings"] for image in chosen]
    assert {label: value for label, (value, _) in said(second).items()} == pytest.approx(
        {
            of_label[0]["label"]: sum(finding["probability"] for finding in of_label) / 32
            for of_label in zip(*findings, strict=True)
        },
        abs=1e-5,
    )
    sources = second.content.get_image_measurement_groups()[0].source_images
    assert len(sources) == 32


def test_the_reports_are_valid_and_readable_by_other_tools(
    running_gateway: Gateway, running_archive: Archive, films: Path
) -> None:
    study = pydicom.dcmread(io.BytesIO(film(6))).StudyInstanceUID
    send(running_gateway, films, film(6, StudyDate="20260102", StudyID="1", StudyTime="101010"))
    document = the_report_of(running_archive, study)
    file = films / "report.sr"
    [report] = running_archive.reports(StudyInstanceUID=study)
    file.write_bytes(running_archive.file(report))

    validity = verified("dciodvfy", file)
    text = verified("dsrdump", file)

    assert "Error" not in validity, validity
    for label, (value, _) in said(document).items():
        assert f'"{label}"' in text
        assert f'"{value}"' in text
    assert "not for diag" in text.lower()


def test_the_shared_files_get_a_report_each_where_a_model_takes_them_and_a_reason_where_not(
    running_gateway: Gateway,
    running_archive: Archive,
    running_service: Service,
    films: Path,
    data_dir: Path,
) -> None:
    files = sorted((data_dir / "dicom").glob("*.dcm"))

    dcmsend(running_gateway.dicom_port, *files, halt=False)

    eventually(running_gateway.is_idle)
    rows = {
        state: running_gateway.rows("instances", state) for state in ("routed", "ignored", "parked")
    }
    assert all(row["reason"] for row in rows["ignored"] + rows["parked"])
    sent = {
        str(dataset.SOPInstanceUID): str(dataset.get("StudyInstanceUID", ""))
        for file in files
        if "SOPInstanceUID"
        in (dataset := pydicom.dcmread(file, force=True, stop_before_pixels=True))
    }
    ours = [row for row in rows["routed"] if row["sop_uid"] in sent]
    done = {job["uid"] for job in running_gateway.rows("jobs", "done")}
    parked = {job["uid"]: job["problem"] for job in running_gateway.rows("jobs", "parked")}
    assert ours
    for row in ours:
        subject = row["series_uid"] if row["rule"] == "chest-ct" else row["sop_uid"]
        assert (subject in done) != (subject in parked)
        assert subject in done or parked[subject]
        reports = running_archive.reports(StudyInstanceUID=sent[row["sop_uid"]])
        assert bool(reports) == (subject in done)
    studies = {sent[row["sop_uid"]] for row in ours}
    expected = {
        row["series_uid"] if row["rule"] == "chest-ct" else row["sop_uid"] for row in ours
    } & done
    assert sum(len(running_archive.reports(StudyInstanceUID=study)) for study in studies) == len(
        expected
    )


def test_neither_log_nor_metrics_nor_page_name_a_patient(
    running_gateway: Gateway, running_archive: Archive, films: Path
) -> None:
    image = film(9, PatientName="Nemo", PatientID="SECRET-ID")
    study = pydicom.dcmread(io.BytesIO(image)).StudyInstanceUID
    send(running_gateway, films, image)
    the_report_of(running_archive, study)

    page = httpx.get(running_gateway.url, trust_env=False).text
    metrics = httpx.get(f"{running_gateway.url}/metrics", trust_env=False).text
    log = running_gateway.log.read_text()

    for text in (page, metrics, log):
        assert not [word for word in ("Nemo", "SECRET", "Nobody", study) if word in text]
    assert "pneumo_gateway_time_to_report_seconds_count" in metrics


def test_rules_are_tried_on_a_folder_without_a_gateway(
    running_gateway: Gateway, films: Path
) -> None:
    (films / "a.dcm").write_bytes(film(10))
    (films / "b.dcm").write_bytes(film(11, Modality="MG"))
    (films / "c.dcm").write_bytes(b"no DICOM")

    ended = running_gateway.call("check", str(films))

    assert ended.stdout.splitlines() == [
        "a.dcm: chest-films",
        "b.dcm: ignored: No rule takes it: chest-films (modality), chest-ct (modality).",
        "c.dcm: parked: It is not a DICOM file with file meta information.",
    ]


def test_the_echo_command_says_who_is_there(running_gateway: Gateway) -> None:
    ended = running_gateway.call("echo")

    assert (ended.returncode, ended.stdout) == (0, "service: there\npacs: there\n")


def test_a_second_gateway_does_not_open_the_same_state(running_gateway: Gateway) -> None:
    ended = running_gateway.call("run")

    assert ended.returncode == 1
    assert "Another gateway has" in ended.stderr
    assert json.dumps(ended.stderr).count("\\n") == 1
