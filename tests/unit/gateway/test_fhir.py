import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from contract.fhir import Origin, report_bundle
from tests.gateway.drawn import finding

MODEL = {"name": "xray-four-class", "version": 3, "digest": "sha256:00"}
NPM = Path(__file__).resolve().parents[2] / "gateway" / "fhir"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def result(decision: str, *reasons: str) -> dict[str, Any]:
    findings = [finding("pneumonia", 0.75), finding("something-new", 0.25)]
    return {"decision": decision, "reasons": list(reasons), "findings": findings}


def of_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    resources = [entry["resource"] for entry in bundle["entry"]]
    return [resource for resource in resources if resource["resourceType"] == kind]


@pytest.mark.skipif(not (NPM / "node_modules").exists(), reason="npm's fhir is not installed")
@pytest.mark.parametrize(
    ("status", "wrong"), [("preliminary", ""), ("none", 'DiagnosticReport.status: Code "none"')]
)
def test_a_second_validator_finds_nothing_wrong(status: str, wrong: str) -> None:
    origin = Origin("1.2.3", "A1", {"value": "P1"})
    bundle = report_bundle("k", MODEL, result("refer", "uncertain"), NOW, origin, note="In words.")
    of_kind(bundle, "DiagnosticReport")[0]["status"] = status

    ended = subprocess.run(
        ["node", NPM / "validate.js"],
        input=json.dumps(bundle),
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.startswith(wrong)
    assert bool(ended.stdout) == bool(wrong)


@pytest.mark.parametrize("origin", [None, Origin("1.2.3", "A1", {"value": "P1"})])
@pytest.mark.parametrize(
    ("said", "interpretations"),
    [(result("pneumonia"), ["POS", "NEG"]), (result("refer", "uncertain"), ["IND", "IND"])],
)
def test_the_bundle_is_valid_and_calls_a_finding_present_absent_or_referred(
    origin: Origin | None, said: dict[str, Any], interpretations: list[str]
) -> None:
    bundle = report_bundle("k", MODEL, said, NOW, origin, note="In words.")

    Bundle.model_validate(bundle)
    [report] = of_kind(bundle, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert "Not for diagnosis" in report["conclusion"]
    assert ("subject" in report) == (origin is not None)
    observations = of_kind(bundle, "Observation")
    assert [r["reference"] for r in report["result"]] == [
        entry["fullUrl"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]
    assert all(("derivedFrom" in o) == (origin is not None) for o in observations)
    codes = [o["interpretation"][0]["coding"][0]["code"] for o in observations]
    assert codes == interpretations
    assert [o["component"][0]["valueQuantity"]["value"] for o in observations] == [0.75, 0.25]
