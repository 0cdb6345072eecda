"""The report as a DICOM Comprehensive 3D SR, template TID 1500.

Written with pydicom alone: with highdicom's classes a report took half as long again, and the
gateway 78 MiB more. The tests read it back with highdicom. Items of sequences are bytes here: most
are the same in each report, and pydicom takes 17 ms to encode all of one anew.

Source: DICOM PS3.16 TID 1500, 1501, 1600 and 4019; IHE RAD AI Results (AIR).
"""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence_item
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from contract.findings import CODES
from gateway import __version__
from gateway.headers import EXPLICIT, MANUFACTURER, MODEL_NAME, dataset, frames_of, read_header
from gateway.service import Reading
from gateway.tables import SOP_CLASSES, derived_uid

NOTICE = "RESEARCH ONLY - NOT FOR DIAGNOSIS"
_SERIES_NUMBER = 9001

# What is the same in many reports is encoded once.
_kept = functools.lru_cache(1024)
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
_UNDETERMINED = ("373068000", "SCT", "Undetermined")
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


@dataclass(frozen=True)
class Source:
    """An image that was read: its file, and the frame counted from 1."""

    file: Path
    frame: int = 1

    @functools.cached_property
    def header(self) -> Dataset:
        """All but its pixels, with empty values for what the sender left out of type 2."""
        return _with_patient(read_header(self.file))


def structured_report(
    key: str, reading: Reading, sources: Sequence[Source], predecessor: str | None = None
) -> Dataset:
    """Write the report on one image or more of one series.

    All of its UIDs follow from ``key``, those of the report that it replaces from ``predecessor``.

    Source: DICOM PS3.3 A.35.13, C.17.
    """
    evidence = list({source.header.SOPInstanceUID: source.header for source in sources}.values())
    header = evidence[0]
    study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
    replaced = {}
    if predecessor:
        of_predecessor = _reference(SOP_CLASSES["sr"], derived_uid(predecessor, "sr"))
        replaced["PredecessorDocumentsSequence"] = _references_to(
            study, derived_uid(predecessor, "series/sr"), [of_predecessor]
        )
    return document(
        key,
        "sr",
        reading,
        header,
        Modality="SR",
        ReferencedPerformedProcedureStepSequence=[],
        CompletionFlag="COMPLETE",
        PreliminaryFlag="PRELIMINARY",
        VerificationFlag="UNVERIFIED",
        PerformedProcedureCodeSequence=[],
        CurrentRequestedProcedureEvidenceSequence=_references_to(
            study, series, map(reference_to, evidence)
        ),
        **replaced,
        **_container(_TITLE, _content(key, reading, sources, evidence), "1500"),
    )


def document(key: str, kind: str, reading: Reading, header: Dataset, **values: object) -> Dataset:
    """An object of a result, of a kind of ``SOP_CLASSES``, in the study of an image.

    Its UIDs follow from ``key``. ``header`` is the image's, as a `Source` has it; ``values`` are
    what only this kind has, as ``dataset`` takes it.
    """
    now = datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made = dataset(
        StudyInstanceUID=header.StudyInstanceUID,
        SOPClassUID=SOP_CLASSES[kind],
        SOPInstanceUID=derived_uid(key, kind),
        SeriesInstanceUID=derived_uid(key, f"series/{kind}"),
        SeriesNumber=_SERIES_NUMBER + [*SOP_CLASSES].index(kind),
        SeriesDescription=f"{NOTICE}: {reading.model['name']}"[:64],
        Manufacturer=MANUFACTURER,
        ManufacturerModelName=MODEL_NAME,
        SoftwareVersions=__version__,
        DeviceSerialNumber=reading.digest.removeprefix("sha256:")[:16],
        InstanceNumber=1,
        InstanceCreationDate=date,
        InstanceCreationTime=time,
        ContentDate=date,
        ContentTime=time,
        **values,
    )
    for keyword in (*_PATIENT_AND_STUDY, *_OPTIONAL):
        if keyword in header:
            made.add(header[keyword])
    if "SpecificCharacterSet" in header:
        # All bytes are ASCII, and so are encoded in this one too.
        encodings = convert_encodings(header.SpecificCharacterSet)
        made.set_original_encoding(**EXPLICIT, character_encoding=encodings)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def encoded(made: Dataset) -> bytes:
    """A DICOM file of an object."""
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _with_patient(header: Dataset) -> Dataset:
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


# What the document says


def _content(
    key: str, reading: Reading, sources: Sequence[Source], evidence: Sequence[Dataset]
) -> Iterator[bytes]:
    """Source: DICOM PS3.16 TID 1500, 1204, 1001, 1004."""
    procedure = _PROCEDURES.get(str(evidence[0].get("Modality")), _IMAGING)
    language = ("121049", "DCM", "Language of Content Item and Descendants")
    yield _code(_MODIFIER, language, _ENGLISH)
    yield _code(_CONTEXT, ("121005", "DCM", "Observer Type"), _DEVICE)
    yield _uid(("121012", "DCM", "Device Observer UID"), derived_uid(reading.digest, "device"))
    yield _text(_CONTEXT, ("121013", "DCM", "Device Observer Name"), MANUFACTURER)
    yield _text(_CONTEXT, ("121014", "DCM", "Device Observer Manufacturer"), MANUFACTURER)
    yield _text(_CONTEXT, ("121015", "DCM", "Device Observer Model Name"), MODEL_NAME)
    yield _code(_MODIFIER, ("121058", "DCM", "Procedure reported"), procedure)
    images = _contained(("126200", "DCM", "Image Library Group"), map(_described, evidence))
    yield _contained(("111028", "DCM", "Image Library"), [images])
    groups = [_conclusion(key, reading, sources)]
    groups += [_group(key, reading, each, sources) for each in reading.result["findings"]]
    yield _contained(("126010", "DCM", "Imaging Measurements"), groups)


def _described(header: Dataset) -> bytes:
    """What an image is, as far as it says it. Source: DICOM PS3.16 TID 1600, 1601, 1602."""
    across = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or (None, None)
    facts = [
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
    source = ("260753009", "SCT", "Source")
    return _image(source, reference_to(header), ContentSequence=b"".join(facts))


def _conclusion(key: str, reading: Reading, sources: Sequence[Source]) -> bytes:
    """The decision, and why it is a referral where it is one."""
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
) -> bytes:
    label, presence = finding["label"], _PRESENT if finding["present"] else _ABSENT
    if reading.result["decision"] == "refer":
        presence = _UNDETERMINED
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
    said: Sequence[bytes],
) -> bytes:
    """Source: DICOM PS3.16 TID 1501, 4019."""
    version = str(reading.model["version"])
    items = [
        _text(_CONTEXT, ("112039", "DCM", "Tracking Identifier"), identifier),
        _uid(("112040", "DCM", "Tracking Unique Identifier"), uid),
        _code("CONTAINS", ("121071", "DCM", "Finding"), finding),
        _code(_MODIFIER, ("363698007", "SCT", "Finding Site"), _LUNG),
        _text(_MODIFIER, ("111001", "DCM", "Algorithm Name"), reading.model["name"]),
        _text(_MODIFIER, ("111003", "DCM", "Algorithm Version"), version),
        _text(_MODIFIER, ("122405", "DCM", "Algorithm Manufacturer"), MANUFACTURER),
        *(_text(_MODIFIER, ("111002", "DCM", "Algorithm Parameters"), p) for p in parameters),
        *said,
    ]
    return _contained(("125007", "DCM", "Measurement Group"), items, "1501")


def _sources(sources: Sequence[Source]) -> Iterator[bytes]:
    for source in sources:
        frame = source.frame if frames_of(source.header) > 1 else None
        yield _image(("121112", "DCM", "Source of Measurement"), reference_to(source.header, frame))


def concept_of(finding: Mapping[str, Any]) -> Code:
    """The code of a finding of `POST /predict`, with the name that its terminology gives it."""
    known = {str(label): code.display for label, code in CODES.items()}
    label = str(finding["label"])
    return (str(finding["code"]["code"]), "SCT", known.get(label, label))


# Items of sequences, encoded. Source: DICOM PS3.3 C.17.3, PS3.5 7.5.


def _container(
    name: Code, items: Iterable[bytes], template: str | None = None
) -> dict[str, object]:
    values: dict[str, object] = {
        "ValueType": "CONTAINER",
        "ConceptNameCodeSequence": coded(name),
        "ContinuityOfContent": "CONTINUOUS",
        "ContentSequence": b"".join(items),
    }
    if template:
        described = item(MappingResource="DCMR", TemplateIdentifier=template)
        values["ContentTemplateSequence"] = described
    return values


def _contained(name: Code, items: Iterable[bytes], template: str | None = None) -> bytes:
    return item(RelationshipType="CONTAINS", **_container(name, items, template))


@_kept
def _leaf(relationship: str, kind: str, name: Code, **values: object) -> bytes:
    return item(
        RelationshipType=relationship, ValueType=kind, ConceptNameCodeSequence=coded(name), **values
    )


def _text(relationship: str, name: Code, value: str) -> bytes:
    return _leaf(relationship, "TEXT", name, TextValue=value)


def _uid(name: Code, value: str) -> bytes:
    return _leaf(_CONTEXT, "UIDREF", name, UID=value)


def _code(relationship: str, name: Code, value: Code) -> bytes:
    return _leaf(relationship, "CODE", name, ConceptCodeSequence=coded(value))


def _number(relationship: str, name: Code, value: float, unit: Code) -> bytes:
    measured = item(
        NumericValue=value, FloatingPointValue=value, MeasurementUnitsCodeSequence=coded(unit)
    )
    return _leaf(relationship, "NUM", name, MeasuredValueSequence=measured)


def _image(name: Code, reference: bytes, **values: bytes) -> bytes:
    return _leaf("CONTAINS", "IMAGE", name, ReferencedSOPSequence=reference, **values)


@_kept
def coded(code: Code) -> bytes:
    """An item that is a code."""
    value, scheme, meaning = code
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _references_to(study: str, series: str, references: Iterable[bytes]) -> bytes:
    """Hierarchical SOP Instance References to instances of one series."""
    in_series = item(SeriesInstanceUID=series, ReferencedSOPSequence=b"".join(references))
    return item(StudyInstanceUID=study, ReferencedSeriesSequence=in_series)


def reference_to(header: Dataset, frame: int | None = None) -> bytes:
    """An item that refers to an image, or to a frame of it."""
    return _reference(str(header.SOPClassUID), str(header.SOPInstanceUID), frame)


@_kept
def _reference(sop_class: str, sop_uid: str, frame: int | None = None) -> bytes:
    numbered = {} if frame is None else {"ReferencedFrameNumber": frame}
    return item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=sop_uid, **numbered)


def item(**values: object) -> bytes:
    """An item of these attributes, which may be items themselves."""
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_sequence_item(file, dataset(**values), [])
    return file.getvalue()
