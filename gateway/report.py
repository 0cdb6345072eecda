"""The report as a DICOM Comprehensive 3D SR, template TID 1500.

Source: DICOM PS3.16 TID 1500, 1501 and 4019; IHE RAD AI Results (AIR).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageLibraryEntryDescriptors,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, TM

from contract.findings import CODES
from gateway import __version__
from gateway.headers import MANUFACTURER, MODEL_NAME
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
) -> Comprehensive3DSR:
    """Write the report.

    Args:
        key: From which all of its UIDs follow.
        reading: What the model said.
        sources: What it said it of, at least one; all of one study.
        predecessor: The report that this one takes the place of.
    """
    evidence = list({s.header.SOPInstanceUID: with_patient(s.header) for s in sources}.values())
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_device(reading)),
        procedure_reported=_PROCEDURES.get(str(evidence[0].get("Modality")), _IMAGING),
        imaging_measurements=[_conclusion(key, reading, sources)],
        title=_TITLE,
        referenced_images=evidence if _describable(evidence) else None,
    )
    document = Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        series_instance_uid=derived_uid(key, "series/sr"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid(key, "sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=__version__,
        device_serial_number=reading.digest.removeprefix("sha256:")[:16],
        series_description=f"{NOTICE}: {reading.model['name']}"[:64],
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=[_as_evidence(predecessor)] if predecessor else None,
    )
    # highdicom copies and searches what it is given several times over: what comes after it is
    # made, and refers to nothing else than the first group does, costs half as much.
    [measurements] = [
        item
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == codes.DCM.ImagingMeasurements.value
    ]
    for finding in reading.result["findings"]:
        measurements.ContentSequence.extend(_group(key, reading, finding, sources))
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
            [source.frame] if int(source.header.get("NumberOfFrames") or 1) > 1 else None,
        )
        for source in sources
    ]


def _describable(headers: Sequence[Dataset]) -> bool:
    """Whether the image library's attributes exist."""
    try:
        for header in headers:
            ImageLibraryEntryDescriptors(header)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False
    return True


def _as_evidence(predecessor: ResultObject) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = predecessor.sop_class
    dataset.SOPInstanceUID = predecessor.sop_uid
    dataset.StudyInstanceUID = predecessor.study_uid
    dataset.SeriesInstanceUID = predecessor.series_uid
    return dataset
