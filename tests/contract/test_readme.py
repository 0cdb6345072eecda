import json
import re
from pathlib import Path
from typing import Any

import pytest

from contract.manifest import is_segmenter, read_manifest
from service.settings import Settings
from tests.integration.live import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLASSIFIERS = sorted(
    manifest
    for manifest in (ROOT / "models").glob("*/[0-9]*/manifest.json")
    if not is_segmenter(manifest.parent)
)
ANSWER: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])


def _holds(found: Any, shown: Any) -> bool:
    """Whether an answer has all that is shown of it; of a list the first items."""
    if isinstance(shown, dict):
        return all(key in found and _holds(found[key], shown[key]) for key in shown)
    if isinstance(shown, list):
        return all(_holds(a, b) for a, b in zip(found, shown, strict=False))
    return bool(found == shown)


def test_the_example_gets_the_answer_that_the_readme_shows() -> None:
    image = ROOT / "docs" / "synthetic-radiograph.jpeg"
    with serving(Settings(provider="cpu", port=0)) as live:
        file = (image.name, image.read_bytes())
        answer = live.predict_files(file, model="xray-pneumonia").json()

    assert _holds(answer, ANSWER), answer


@pytest.mark.parametrize("bundle", CLASSIFIERS)
def test_the_table_has_the_figures_of_the_manifests(bundle: Path) -> None:
    manifest = read_manifest(bundle.parent)
    [row] = re.findall(rf"^\| \[`{manifest.name}`\]\({re.escape(_card(bundle))}\).*$", README, re.M)
    of_all = {m.name: m for m in manifest.metrics if m.label is None and m.source is None}
    auroc = of_all.get("macro_auroc") or of_all["auroc"]

    shown = [float(x) for x in re.findall(r"0\.\d+", row)]

    accuracy = of_all["accuracy"].value
    assert shown == pytest.approx([auroc.value, auroc.lower, auroc.upper, accuracy], abs=6e-4)


def _card(bundle: Path) -> str:
    return str(bundle.with_name("model-card.md").relative_to(ROOT))


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]

    assert len(README.splitlines()) <= 110
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_operators_page_has_every_setting() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()

    assert not [name for name in Settings.model_fields if f"PNEUMO_{name.upper()}`" not in page]


def test_every_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"^make ([a-z]+)", README + contributing, re.MULTILINE))

    assert named <= targets
    assert {"serve", "test"} <= named
