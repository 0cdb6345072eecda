import json
import re
from pathlib import Path
from typing import Any

import pytest

from contract.manifest import read_manifest
from service.settings import Settings
from tests.integration.live import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ANSWER: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])


def test_the_example_gets_the_answer_that_the_readme_shows() -> None:
    image = ROOT / "docs" / "synthetic-radiograph.jpeg"
    with serving(Settings(provider="cpu", port=0)) as live:
        response = live.predict_files((image.name, image.read_bytes()))
    answer = response.json()

    assert answer.keys() == ANSWER.keys()
    assert answer["model"] == ANSWER["model"]
    assert answer["timing_ms"].keys() == ANSWER["timing_ms"].keys()
    [found], [shown] = answer["results"], ANSWER["results"]
    measured = ("findings", "quality", "out_of_distribution")
    assert found.keys() == shown.keys()
    assert all(found[key] == shown[key] for key in found.keys() - set(measured))
    assert found["out_of_distribution"] == pytest.approx(shown["out_of_distribution"], rel=1e-3)
    for check, expected in zip(found["quality"]["checks"], shown["quality"]["checks"], strict=True):
        value = pytest.approx(expected["value"], rel=1e-3, abs=1e-6)
        assert check == {**expected, "value": value}
    for finding, expected in zip(found["findings"], shown["findings"], strict=True):
        assert finding == {
            **expected,
            "probability": pytest.approx(expected["probability"], abs=1e-4),
        }


@pytest.mark.parametrize(
    ("title", "metric"),
    [
        ("AUROC", "auroc"),
        (r"Sensitivity \(recall\)", "sensitivity"),
        ("Specificity", "specificity"),
        ("Precision", "precision"),
        ("Accuracy", "accuracy"),
        (r"Calibration error \(ECE\)", "ece"),
    ],
)
def test_the_measured_figures_are_those_of_the_manifest(title: str, metric: str) -> None:
    manifest = read_manifest(ROOT / "models" / "xray-pneumonia" / "2")
    [expected] = [
        m for m in manifest.metrics if (m.name, m.label, m.source) == (metric, None, None)
    ]
    pattern = rf"\| {title} \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|"
    [shown] = re.findall(pattern, README)

    assert [float(x) for x in shown] == pytest.approx(
        [expected.value, expected.lower, expected.upper], abs=6e-4
    )


def test_every_setting_of_the_readme_exists() -> None:
    named = set(re.findall(r"`PNEUMO_([A-Z_]+)`", README))

    assert named <= {name.upper() for name in Settings.model_fields}
    assert "PROVIDER" in named


def test_every_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"^make ([a-z]+)", README + contributing, re.MULTILINE))

    assert named <= targets
    assert {"serve", "test"} <= named
