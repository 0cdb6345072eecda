"""The report as a DICOM Comprehensive 3D SR, template TID 1500.

Source: DICOM PS3.16 TID 1500, 1501 and 4019; IHE RAD AI Results (AIR).
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageContentItem,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM
from pynetdicom.sop_class import Comprehensive3DSRStorage  # type: ignore[attr-defined]

from contract.findings import CODES
from gateway import __version__
from gateway.headers import MANUFACTURER, MODEL_NAME, frames_of
from gateway.identifiers import derived_uid
from gateway.reading import Reading
from gateway.store import ResultObject

NOTICE = "RESEARCH ONLY - NOT FOR DIAGNOSIS"
SERIES_NUMBER = 9001
# Viewers know the document by its code; people read its meaning.
_TITLE = CodedConcept("126000", "DCM", "Imaging Measurement Report (research only)")
_PROCEDURES = {
    "CR": CodedConcept("399208008", "SCT", "Plain chest X-ray"),
    "DX": CodedConcept("399208008", "SCT", "Plain chest X-ray"),
    "CT": CodedConcept("169069000", "SCT", "CT of chest"),
}
_IMAGING = CodedConcept("363679005", "SCT", "Imaging procedure")
_DECISION = CodedConcept("DECISION", "99PNEUMO", "Decision of the algorithm")
_REFERRED = CodedConcept("REFER", "99PNEUMO", "Referred to a person")
# What highdicom copies from the source and a sender may have left out.
_PATIENT_AND_STUDY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_OPTIONAL = ("IssuerOfPatientID", "PatientAge", "StudyDescription")


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
    """
    evidence = list({s.header.SOPInstanceUID: with_patient(s.header) for s in sources}.values())
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_device(reading)),
        procedure_reported=_PROCEDURES.get(str(evidence[0].get("Modality")), _IMAGING),
        imaging_measurements=[
            _conclusion(key, reading, sources),
            *(_group(key, reading, finding, sources) for finding in reading.result["findings"]),
        ],
        title=_TITLE,
    )
    content[0].ContentSequence.insert(-1, _image_library(evidence))
    return _document(key, reading, evidence, content[0], predecessor)


def _document(
    key: str,
    reading: Reading,
    evidence: Sequence[Dataset],
    content: Dataset,
    predecessor: ResultObject | None,
) -> Dataset:
    """The modules around the content.

    highdicom's own class for them copies the content several times over, and loads the whole of
    the Standard's tables to do so: 70 MiB, and half of the time.

    Source: DICOM PS3.3 A.35.13, C.17.
    """
    now = datetime.now()
    document = Dataset()
    for keyword in ("SpecificCharacterSet", "StudyInstanceUID", *_PATIENT_AND_STUDY, *_OPTIONAL):
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
    for element in content:
        document.add(element)
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return document


def _references_to(headers: Sequence[Dataset]) -> Dataset:
    """An item of a Hierarchical SOP Instance Reference, to instances of one series."""
    instances = []
    for header in headers:
        instance = Dataset()
        instance.ReferencedSOPClassUID = header.SOPClassUID
        instance.ReferencedSOPInstanceUID = header.SOPInstanceUID
        instances.append(instance)
    series = Dataset()
    series.SeriesInstanceUID = headers[0].SeriesInstanceUID
    series.ReferencedSOPSequence = instances
    study = Dataset()
    study.StudyInstanceUID = headers[0].StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return study


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


def _device(reading: Reading) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=derived_uid(reading.digest, "device"),
            name="Pneumoscope",
            manufacturer_name=MANUFACTURER,
            model_name=MODEL_NAME,
        ),
    )


def _conclusion(
    key: str, reading: Reading, sources: Sequence[Source]
) -> MeasurementsAndQualitativeEvaluations:
    """The decision, why it is a referral where it is one, and what was wrong with the image."""
    decision = reading.result["decision"]
    named = {finding["label"]: finding for finding in reading.result["findings"]}
    value = _concept(named[decision]) if decision in named else _REFERRED
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derived_uid(key, "decision"), "decision"),
        finding_type=_DECISION,
        algorithm_id=_algorithm(reading),
        finding_sites=[_site()],
        qualitative_evaluations=[QualitativeEvaluation(_DECISION, value)],
        source_images=_references(sources),
    )
    for text in _comments(reading):
        item = TextContentItem(codes.DCM.Comment, text, RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(item)
    return group


def _comments(reading: Reading) -> list[str]:
    result = reading.result
    texts = ["Research only. Not for diagnosis."]
    if reasons := result["reasons"]:
        texts.append(f"Referred: {', '.join(reasons)}.")
    if quality := result.get("quality"):
        failed = [check["name"] for check in quality["checks"] if not check["passed"]]
        found = f"not accepted ({', '.join(failed)})" if failed else "accepted"
        texts.append(f"Image quality: {found}.")
    if reading.note:
        texts.append(reading.note)
    return texts


def _group(
    key: str, reading: Reading, finding: dict[str, Any], sources: Sequence[Source]
) -> MeasurementsAndQualitativeEvaluations:
    label = finding["label"]
    if reading.result["decision"] == "refer":
        presence = codes.SCT.Indeterminate
    else:
        presence = codes.SCT.Present if finding["present"] else codes.SCT.Absent
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derived_uid(key, f"finding/{label}"), label),
        finding_type=_concept(finding),
        algorithm_id=_algorithm(reading, f"operating point {finding['operating_point']:.6g}"),
        finding_sites=[_site()],
        measurements=[
            Measurement(
                name=codes.DCM.Probability,
                value=round(float(finding["probability"]), 6),
                unit=codes.UCUM.NoUnits,
            )
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(name=codes.DCM.PresenceOfProperty, value=presence)
        ],
        source_images=_references(sources),
    )


def _concept(finding: dict[str, Any]) -> CodedConcept:
    known = {str(label): code.display for label, code in CODES.items()}
    label = str(finding["label"])
    return CodedConcept(str(finding["code"]["code"]), "SCT", known.get(label, label))


def _algorithm(reading: Reading, *parameters: str) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=reading.model["name"],
        version=str(reading.model["version"]),
        parameters=[reading.digest, *parameters],
        manufacturer=MANUFACTURER,
    )


def _site() -> FindingSite:
    return FindingSite(CodedConcept("39607008", "SCT", "Lung"))


def _references(sources: Sequence[Source]) -> list[SourceImageForMeasurementGroup]:
    return [
        SourceImageForMeasurementGroup(
            str(source.header.SOPClassUID),
            str(source.header.SOPInstanceUID),
            [source.frame] if frames_of(source.header) > 1 else None,
        )
        for source in sources
    ]


def _image_library(headers: Sequence[Dataset]) -> ContainerContentItem:
    """What the images are, as far as they say it.

    highdicom's own template wants every attribute, and loads the tables of the Standard.

    Source: DICOM PS3.16 TID 1600, 1601, 1602.
    """
    entries = []
    for header in headers:
        entry = ImageContentItem(
            CodedConcept("260753009", "SCT", "Source"),
            str(header.SOPClassUID),
            str(header.SOPInstanceUID),
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        entry.ContentSequence = ContentSequence(list(_descriptors(header)))
        entries.append(entry)
    group = ContainerContentItem(
        codes.DCM.ImageLibraryGroup, relationship_type=RelationshipTypeValues.CONTAINS
    )
    group.ContentSequence = ContentSequence(entries)
    library = ContainerContentItem(
        codes.DCM.ImageLibrary, relationship_type=RelationshipTypeValues.CONTAINS
    )
    library.ContentSequence = ContentSequence([group])
    return library


def _descriptors(header: Dataset) -> Iterator[NumContentItem]:
    across = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or (None, None)
    pixels, mm = CodedConcept("{pixels}", "UCUM", "pixels"), codes.UCUM.Millimeter
    for name, value, unit in (
        (codes.DCM.PixelDataRows, header.get("Rows"), pixels),
        (codes.DCM.PixelDataColumns, header.get("Columns"), pixels),
        (codes.DCM.HorizontalPixelSpacing, across[1], mm),
        (codes.DCM.VerticalPixelSpacing, across[0], mm),
        (codes.DCM.SliceThickness, header.get("SliceThickness"), mm),
    ):
        if value is not None:
            yield NumContentItem(
                name,
                float(value),
                unit=unit,
                relationship_type=RelationshipTypeValues.HAS_ACQ_CONTEXT,
            )


def _as_header(predecessor: ResultObject) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = predecessor.sop_class
    dataset.SOPInstanceUID = predecessor.sop_uid
    dataset.StudyInstanceUID = predecessor.study_uid
    dataset.SeriesInstanceUID = predecessor.series_uid
    return dataset
