"""An answer as a FHIR R4 transaction Bundle: plain dictionaries, to be written as JSON.

A server that gets the same Bundle again creates nothing anew: each resource is created only where
none has its identifier, and the identifiers follow from the key of the answer.

Source: HL7 FHIR R4 (4.0.1), http.html#ccreate, bundle.html#transaction.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.findings import CODES, SNOMED_CT, Code
from contract.manifest import INTENDED_USE

MEDIA_TYPE = "application/fhir+json"
Resource = dict[str, Any]

_PRESENT = Code(system=SNOMED_CT, code="52101004", display="Present")
_ABSENT = Code(system=SNOMED_CT, code="272519000", display="Absent")
_UNDETERMINED = Code(system=SNOMED_CT, code="373068000", display="Undetermined")
_LUNG = Code(system=SNOMED_CT, code="39607008", display="Lung structure")
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an image comes from, as far as it is known.

    ``patient`` is an identifier with its system, such as ``{"value": "…"}``; ``study_uid`` and
    ``accession`` are those of DICOM.
    """

    study_uid: str | None = None
    accession: str | None = None
    patient: Mapping[str, str] | None = None


def report_bundle(
    key: str,
    model: Mapping[str, Any],
    result: Mapping[str, Any],
    issued: datetime,
    origin: Origin | None = None,
    note: str | None = None,
) -> Resource:
    """Write the Bundle: a DiagnosticReport, an Observation for each finding, a Device.

    Args:
        key: Of this answer; the same key gives the same identifiers.
        model: ``name``, ``version`` and ``digest``, as `POST /predict` has them.
        result: Of one image with status ``ok``, as `POST /predict` has it.
        issued: When it was answered, with its time zone.
        origin: Of the image.
        note: How the answer came about, in words.
    """
    origin = origin or Origin()
    context: Resource = {"issued": issued.isoformat(timespec="seconds")}
    if origin.patient is not None:
        subject = {"type": "Patient", "identifier": dict(origin.patient)}
        context = {"subject": subject, **context}
    device = {
        "resourceType": "Device",
        # Of two versions with one graph, the operating points differ.
        "identifier": [_identifier(f"{model['version']}/{model['digest']}", "device")],
        "deviceName": [{"name": str(model["name"]), "type": "model-name"}],
        "version": [{"value": str(model["version"])}, {"value": str(model["digest"])}],
        "type": {"text": "Algorithm that reads chest images"},
        "note": [{"text": INTENDED_USE}],
    }
    observations = [
        _observation(key, finding, result, device, context) for finding in result["findings"]
    ]
    report = _report(key, result, observations, context, note)
    if origin.study_uid:
        # Source: FHIR R4, imagingstudy.html: of its identifiers, the Study Instance UID.
        uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{origin.study_uid}"}
        study = {"type": "ImagingStudy", "identifier": uid}
        report["imagingStudy"] = [study]
        for observation in observations:
            observation["derivedFrom"] = [study]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(resource) for resource in (device, *observations, report)],
    }


def _observation(
    key: str,
    finding: Mapping[str, Any],
    result: Mapping[str, Any],
    device: Resource,
    context: Resource,
) -> Resource:
    if result["decision"] == "refer":
        value, interpretation = _UNDETERMINED, "IND"
    else:
        value, interpretation = (_PRESENT, "POS") if finding["present"] else (_ABSENT, "NEG")
    interpreted = {"system": f"{_TERMINOLOGY}/v3-ObservationInterpretation", "code": interpretation}
    return {
        "resourceType": "Observation",
        "identifier": [_identifier(key, f"finding/{finding['label']}")],
        "status": "preliminary",
        "category": [
            {"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "imaging"}]}
        ],
        "code": _finding(finding),
        **context,
        "valueCodeableConcept": {"coding": [value.model_dump()]},
        "interpretation": [{"coding": [interpreted]}],
        "bodySite": {"coding": [_LUNG.model_dump()]},
        "device": {"reference": _address(device)},
        "component": [
            _number("Probability", finding["probability"]),
            _number("Operating point", finding["operating_point"]),
        ],
        "note": [{"text": INTENDED_USE}],
    }


def _report(
    key: str,
    result: Mapping[str, Any],
    observations: Sequence[Resource],
    context: Resource,
    note: str | None,
) -> Resource:
    words = [INTENDED_USE, f"Decision of the algorithm: {result['decision']}."]
    if result["reasons"]:
        words.append(f"Reasons: {', '.join(result['reasons'])}.")
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "identifier": [_identifier(key, "report")],
        "status": "preliminary",
        "category": [{"coding": [{"system": f"{_TERMINOLOGY}/v2-0074", "code": "RAD"}]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "18748-4"}],
            "text": "Chest image read by an algorithm, research only",
        },
        **context,
        "result": [{"reference": _address(observation)} for observation in observations],
        "conclusion": " ".join([*words, *([note] if note else [])]),
    }
    for finding in result["findings"]:
        if finding["label"] == result["decision"]:
            report["conclusionCode"] = [_finding(finding)]
    return report


def _entry(resource: Resource) -> Resource:
    identifier = resource["identifier"][0]
    return {
        "fullUrl": _address(resource),
        "resource": resource,
        "request": {
            "method": "POST",
            "url": resource["resourceType"],
            "ifNoneExist": f"identifier={identifier['system']}|{identifier['value']}",
        },
    }


def _identifier(key: str, role: str) -> Resource:
    name = uuid.uuid5(uuid.NAMESPACE_OID, f"{key}/{role}")
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{name}"}


def _address(resource: Resource) -> str:
    return str(resource["identifier"][0]["value"])


def _finding(finding: Mapping[str, Any]) -> Resource:
    coding = {"system": finding["code"]["system"], "code": finding["code"]["code"]}
    if finding["label"] in CODES:
        coding["display"] = CODES[finding["label"]].display
    return {"coding": [coding], "text": str(finding["label"])}


def _number(name: str, value: float) -> Resource:
    unit = {"unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}
    quantity = {"value": round(float(value), 6), **unit}
    return {"code": {"text": name}, "valueQuantity": quantity}
