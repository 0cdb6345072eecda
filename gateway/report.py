"""The report as a DICOM Comprehensive 3D SR, template TID 1500.

Written with pydicom alone: with highdicom's classes a report took half as long again, and the
gateway 78 MiB more. The tests read it back with highdicom.

Source: DICOM PS3.16 TID 1500, 1501, 1600 and 4019; IHE RAD AI Results (AIR).
"""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM
from pynetdicom.sop_class import Comprehensive3DSRStorage  # type: ignore[attr-defined]

from contract.findings import CODES
from gateway import __version__
from gateway.headers import MANUFACTURER, MODEL_NAME, frames_of
from gateway.identifiers import derived_uid
from gateway.reading import Reading
from gateway.tables import ResultObject

NOTICE = "RESEARCH ONLY - NOT FOR DIAGNOSIS"
SERIES_NUMBER = 9001

# Code value, coding scheme, code meaning.
Code = tuple[str, str, str]
# Viewers know the document by its code; people read its meaning.
_TITLE = ("126000", "DCM", "Imaging Measurement Report (research only)")
_ENGLISH = ("en-US", "RFC5646", "English (United States)")
_DEVICE = ("121007", "DCM", "Device")
_FILM = ("399208008", "SCT", "Plain chest X-ray")
_PROCEDURES = {"CR": _FILM, "DX": _FILM, "CT": ("169069000", "SCT", "CT of chest")}
_IMAGING = ("363679005", "SCT", "Imaging procedure")
_DECISION = ("DECISION", "99PNEUMO", "Decision of the algorithm")
_REFERRED = ("REFER", "99PNEUMO", "Referred to a person")
_LUNG = ("39607008", "SCT", "Lung")
_PRESENT = ("52101004", "SCT", "Present")
_ABSENT = ("272519000", "SCT", "Absent")
_INDETERMINATE = ("82334004", "SCT", "Indeterminate")
_NO_UNITS = ("1", "UCUM", "no units")
_PIXELS = ("{pixels}", "UCUM", "pixels")
_MM = ("mm", "UCUM", "mm")

_CONTEXT, _MODIFIER, _ACQUISITION = "HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT"
# What is copied from the source, and a sender may have left out.
_PATIENT_AND_STUDY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_OPTIONAL = ("SpecificCharacterSet", "IssuerOfPatientID", "PatientAge", "StudyDescription")


@dataclass(frozen=True, slots=True)
class Source:
    """An image that was read: its header, and the frame counted from 1."""

    header: Dataset
    frame: int = 1


def structured_report(
    key: str,
    reading: Reading,
    sources: Sequence[Source],
    predecessor: ResultObject | None = None,
) -> Dataset:
    """Write the report.

    Args:
        key: From which all of its UIDs follow.
        reading: What the model said.
        sources: What it said it of, at least one; all of one series.
        predecessor: The report that this one takes the place of.

    Source: DICOM PS3.3 A.35.13, C.17.
    """
    evidence = list({s.header.SOPInstanceUID: with_patient(s.header) for s in sources}.values())
    document = _container(None, _TITLE, _content(key, reading, sources, evidence), "1500")
    now = datetime.now()
    for keyword in (*_PATIENT_AND_STUDY, *_OPTIONAL, "StudyInstanceUID"):
        if keyword in evidence[0]:
            document.add(evidence[0][keyword])
    document.SOPClassUID = Comprehensive3DSRStorage
    document.SOPInstanceUID = derived_uid(key, "sr")
    document.Modality = "SR"
    document.SeriesInstanceUID = derived_uid(key, "series/sr")
    document.SeriesNumber = SERIES_NUMBER
    document.SeriesDescription = f"{NOTICE}: {reading.model['name']}"[:64]
    document.ReferencedPerformedProcedureStepSequence = []
    document.Manufacturer = MANUFACTURER
    document.ManufacturerModelName = MODEL_NAME
    document.SoftwareVersions = __version__
    document.DeviceSerialNumber = reading.digest.removeprefix("sha256:")[:16]
    document.InstanceNumber = 1
    document.InstanceCreationDate = document.ContentDate = now.strftime("%Y%m%d")
    document.InstanceCreationTime = document.ContentTime = now.strftime("%H%M%S")
    document.CompletionFlag = "COMPLETE"
    document.PreliminaryFlag = "PRELIMINARY"
    document.VerificationFlag = "UNVERIFIED"
    document.PerformedProcedureCodeSequence = []
    document.CurrentRequestedProcedureEvidenceSequence = [_references_to(evidence)]
    if predecessor:
        document.PredecessorDocumentsSequence = [_references_to([_as_header(predecessor)])]
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return document


def encoded(document: Dataset) -> bytes:
    """A DICOM file of a document."""
    file = io.BytesIO()
    document.save_as(file, enforce_file_format=True)
    return file.getvalue()


def with_patient(header: Dataset) -> Dataset:
    """The header with an empty value where the sender left an attribute of type 2 out."""
    for keyword in _PATIENT_AND_STUDY:
        if keyword not in header:
            setattr(header, keyword, None)
    if header.PatientSex not in ("M", "F", "O"):
        header.PatientSex = None
    for keyword, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            kind(header.get(keyword))
        except ValueError:  # what is no date is no fact of the patient's either
            setattr(header, keyword, None)
    return header


def reference_of(document: Dataset, path: str) -> ResultObject:
    """What the queue keeps of a document."""
    return ResultObject(
        sop_uid=str(document.SOPInstanceUID),
        sop_class=str(document.SOPClassUID),
        study_uid=str(document.StudyInstanceUID),
        series_uid=str(document.SeriesInstanceUID),
        path=path,
    )


# What the document says


def _content(
    key: str, reading: Reading, sources: Sequence[Source], evidence: Sequence[Dataset]
) -> Iterator[Dataset]:
    """Source: DICOM PS3.16 TID 1500, 1204, 1001, 1004."""
    procedure = _PROCEDURES.get(str(evidence[0].get("Modality")), _IMAGING)
    language = ("121049", "DCM", "Language of Content Item and Descendants")
    yield _code(_MODIFIER, language, _ENGLISH)
    yield _code(_CONTEXT, ("121005", "DCM", "Observer Type"), _DEVICE)
    device = derived_uid(reading.digest, "device")
    yield _item(_CONTEXT, "UIDREF", ("121012", "DCM", "Device Observer UID"), UID=device)
    yield _text(_CONTEXT, ("121013", "DCM", "Device Observer Name"), MANUFACTURER)
    yield _text(_CONTEXT, ("121014", "DCM", "Device Observer Manufacturer"), MANUFACTURER)
    yield _text(_CONTEXT, ("121015", "DCM", "Device Observer Model Name"), MODEL_NAME)
    yield _code(_MODIFIER, ("121058", "DCM", "Procedure reported"), procedure)
    images = _container("CONTAINS", ("126200", "DCM", "Image Library Group"), _library(evidence))
    yield _container("CONTAINS", ("111028", "DCM", "Image Library"), [images])
    groups = [_conclusion(key, reading, sources)]
    groups += [_group(key, reading, each, sources) for each in reading.result["findings"]]
    yield _container("CONTAINS", ("126010", "DCM", "Imaging Measurements"), groups)


def _library(headers: Sequence[Dataset]) -> Iterator[Dataset]:
    """What the images are, as far as they say it.

    Source: DICOM PS3.16 TID 1600, 1601, 1602.
    """
    for header in headers:
        image = _image(("260753009", "SCT", "Source"), header)
        across = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or (None, None)
        image.ContentSequence = [
            _number(_ACQUISITION, name, float(value), unit)
            for name, value, unit in (
                (("110910", "DCM", "Pixel Data Rows"), header.get("Rows"), _PIXELS),
                (("110911", "DCM", "Pixel Data Columns"), header.get("Columns"), _PIXELS),
                (("111026", "DCM", "Horizontal Pixel Spacing"), across[1], _MM),
                (("111066", "DCM", "Vertical Pixel Spacing"), across[0], _MM),
                (("112225", "DCM", "Slice Thickness"), header.get("SliceThickness"), _MM),
            )
            if value is not None
        ]
        yield image


def _conclusion(key: str, reading: Reading, sources: Sequence[Source]) -> Dataset:
    """The decision, why it is a referral where it is one, and what was wrong with the image."""
    decision = reading.result["decision"]
    named = {finding["label"]: finding for finding in reading.result["findings"]}
    value = concept_of(named[decision]) if decision in named else _REFERRED
    said = [
        _code("CONTAINS", _DECISION, value),
        *_sources(sources),
        *(_text("CONTAINS", ("121106", "DCM", "Comment"), text) for text in _comments(reading)),
    ]
    uid = derived_uid(key, "decision")
    return _measurement_group("decision", uid, _DECISION, [reading.digest], reading, said)


def _comments(reading: Reading) -> Iterator[str]:
    result = reading.result
    yield "Research only. Not for diagnosis."
    if reasons := result["reasons"]:
        yield f"Referred: {', '.join(reasons)}."
    if quality := result.get("quality"):
        failed = [check["name"] for check in quality["checks"] if not check["passed"]]
        found = f"not accepted ({', '.join(failed)})" if failed else "accepted"
        yield f"Image quality: {found}."
    if reading.note:
        yield reading.note


def _group(
    key: str, reading: Reading, finding: Mapping[str, Any], sources: Sequence[Source]
) -> Dataset:
    label = finding["label"]
    if reading.result["decision"] == "refer":
        presence = _INDETERMINATE
    else:
        presence = _PRESENT if finding["present"] else _ABSENT
    probability = round(float(finding["probability"]), 6)
    said = [
        _number("CONTAINS", ("122157", "DCM", "Probability"), probability, _NO_UNITS),
        _code("CONTAINS", ("121052", "DCM", "Presence of property"), presence),
        *_sources(sources),
    ]
    parameters = [reading.digest, f"operating point {finding['operating_point']:.6g}"]
    uid = derived_uid(key, f"finding/{label}")
    return _measurement_group(label, uid, concept_of(finding), parameters, reading, said)


def _measurement_group(
    identifier: str,
    uid: str,
    finding: Code,
    parameters: Sequence[str],
    reading: Reading,
    said: Sequence[Dataset],
) -> Dataset:
    """Source: DICOM PS3.16 TID 1501, 4019."""
    version = str(reading.model["version"])
    items = [
        _text(_CONTEXT, ("112039", "DCM", "Tracking Identifier"), identifier),
        _item(_CONTEXT, "UIDREF", ("112040", "DCM", "Tracking Unique Identifier"), UID=uid),
        _code("CONTAINS", ("121071", "DCM", "Finding"), finding),
        _code(_MODIFIER, ("363698007", "SCT", "Finding Site"), _LUNG),
        _text(_MODIFIER, ("111001", "DCM", "Algorithm Name"), reading.model["name"]),
        _text(_MODIFIER, ("111003", "DCM", "Algorithm Version"), version),
        _text(_MODIFIER, ("122405", "DCM", "Algorithm Manufacturer"), MANUFACTURER),
        *(_text(_MODIFIER, ("111002", "DCM", "Algorithm Parameters"), p) for p in parameters),
        *said,
    ]
    return _container("CONTAINS", ("125007", "DCM", "Measurement Group"), items, "1501")


def _sources(sources: Sequence[Source]) -> Iterator[Dataset]:
    for source in sources:
        frame = source.frame if frames_of(source.header) > 1 else None
        yield _image(("121112", "DCM", "Source of Measurement"), source.header, frame)


def concept_of(finding: Mapping[str, Any]) -> Code:
    """The code of a finding of `POST /predict`, with the name that its terminology gives it."""
    known = {str(label): code.display for label, code in CODES.items()}
    label = str(finding["label"])
    return (str(finding["code"]["code"]), "SCT", known.get(label, label))


# Content items. Source: DICOM PS3.3 C.17.3.


def _item(relationship: str | None, kind: str, name: Code, **values: object) -> Dataset:
    item = _dataset(ValueType=kind, ConceptNameCodeSequence=[coded(name)], **values)
    if relationship:
        item.RelationshipType = relationship
    return item


def _container(
    relationship: str | None, name: Code, items: Iterable[Dataset], template: str | None = None
) -> Dataset:
    item = _item(relationship, "CONTAINER", name, ContinuityOfContent="CONTINUOUS")
    item.ContentSequence = list(items)
    if template:
        item.ContentTemplateSequence = [
            _dataset(MappingResource="DCMR", TemplateIdentifier=template)
        ]
    return item


def _text(relationship: str, name: Code, value: str) -> Dataset:
    return _item(relationship, "TEXT", name, TextValue=value)


def _code(relationship: str, name: Code, value: Code) -> Dataset:
    return _item(relationship, "CODE", name, ConceptCodeSequence=[coded(value)])


def _number(relationship: str, name: Code, value: float, unit: Code) -> Dataset:
    units = [coded(unit)]
    measured = _dataset(
        NumericValue=value, FloatingPointValue=value, MeasurementUnitsCodeSequence=units
    )
    return _item(relationship, "NUM", name, MeasuredValueSequence=[measured])


def _image(name: Code, header: Dataset, frame: int | None = None) -> Dataset:
    reference = _reference_to(header)
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    return _item("CONTAINS", "IMAGE", name, ReferencedSOPSequence=[reference])


@functools.cache
def coded(code: Code) -> Dataset:
    """An item of a code sequence, shared by all that name this code: nobody changes it."""
    value, scheme, meaning = code
    return _dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _references_to(headers: Sequence[Dataset]) -> Dataset:
    """An item of a Hierarchical SOP Instance Reference, to instances of one series."""
    series = _dataset(
        SeriesInstanceUID=headers[0].SeriesInstanceUID,
        ReferencedSOPSequence=[_reference_to(header) for header in headers],
    )
    return _dataset(StudyInstanceUID=headers[0].StudyInstanceUID, ReferencedSeriesSequence=[series])


def _reference_to(header: Dataset) -> Dataset:
    return _dataset(
        ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID
    )


def _as_header(predecessor: ResultObject) -> Dataset:
    return _dataset(
        SOPClassUID=predecessor.sop_class,
        SOPInstanceUID=predecessor.sop_uid,
        StudyInstanceUID=predecessor.study_uid,
        SeriesInstanceUID=predecessor.series_uid,
    )


def _dataset(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
