"""The model that ships with the repository, on the images that its manifest speaks of."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from contract.decision import decide
from export.session import run_in_batches
from export.verify import answer, open_bundle, read_images
from service.settings import Settings
from tests.integration.live import Live, serving
from tests.synthetic import as_jpeg, as_png, synthetic_radiograph

BUNDLE = Path(__file__).parents[2] / "models" / "xray-pneumonia" / "2"
CLASSES = ("NORMAL", "PNEUMONIA")
SHIPPED = ("ct-covid", "xray-covid", "xray-four-class", "xray-infection", "xray-pneumonia")


@pytest.fixture(scope="module")
def embedded() -> Iterator[Live]:
    with serving(Settings(port=0, provider="cpu", precision="fp32")) as running:
        yield running


@pytest.mark.data
def test_the_embedded_bundle_reproduces_the_figures_of_its_manifest(data_dir: Path) -> None:
    manifest, session = open_bundle(BUNDLE)
    files = [sorted((data_dir / "chest_xray" / "test" / name).iterdir()) for name in CLASSES]
    images = read_images([*files[0], *files[1]], manifest.preprocessing)
    probabilities = run_in_batches(session, images)["probabilities"]
    truth = np.repeat([0, 1], [len(part) for part in files])
    points = manifest.operating_points
    present = np.array([decide(manifest.labels, row, points).present[1] for row in probabilities])
    official = {
        metric.name: metric.value
        for metric in manifest.metrics
        if (metric.label, metric.source, metric.images) == (None, None, 624)
    }

    assert len(truth) == 624
    assert roc_auc_score(truth, probabilities[:, 1]) == pytest.approx(official["auroc"], abs=5e-4)
    # One image at the operating point may fall to the other side on another processor.
    assert np.mean(present == truth) == pytest.approx(official["accuracy"], abs=2 / 624)
    assert np.mean(present[truth == 1]) == pytest.approx(official["sensitivity"], abs=2 / 390)


@pytest.mark.data
def test_posted_originals_are_answered_as_by_the_verified_bundle(
    embedded: Live, data_dir: Path
) -> None:
    files = sorted((data_dir / "chest_xray_originals").rglob("*.jpeg"))
    expected = answer(BUNDLE, files)

    for file, reference in zip(files, expected, strict=True):
        [result] = embedded.predict(file.read_bytes(), model=BUNDLE.parent.name).json()["results"]
        found = {finding["label"]: finding["probability"] for finding in result["findings"]}
        assert found == pytest.approx(reference.probabilities, abs=1e-6), file.name
        assert result["decision"] == (reference.decision.label or "refer")
    assert len(files) == 36


def test_a_synthetic_radiograph_is_answered_as_by_the_verified_bundle(
    embedded: Live, tmp_path: Path
) -> None:
    file = tmp_path / "chest.jpg"
    file.write_bytes(as_jpeg(synthetic_radiograph(rows=900, columns=1100)))
    [reference] = answer(BUNDLE, [file])

    [result] = embedded.predict(file.read_bytes(), model=BUNDLE.parent.name).json()["results"]

    found = {finding["label"]: finding["probability"] for finding in result["findings"]}
    assert found == pytest.approx(reference.probabilities, abs=1e-6)


@pytest.mark.parametrize("model", SHIPPED)
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        pytest.param(np.zeros((512, 512), np.uint8), "quality.contrast", id="all black"),
        pytest.param(np.full((512, 512), 255, np.uint8), "quality.contrast", id="all white"),
        pytest.param(np.zeros((1, 1), np.uint8), "quality.resolution", id="1 x 1"),
        pytest.param(synthetic_radiograph(20_000, 40), "quality.aspect", id="20000 x 40"),
        pytest.param(synthetic_radiograph(40, 20_000), "quality.aspect", id="40 x 20000"),
    ],
)
def test_no_shipped_model_answers_what_cannot_be_a_chest(
    embedded: Live, model: str, image: np.ndarray, reason: str
) -> None:
    [result] = embedded.predict(as_png(image), model=model).json()["results"]

    assert result["decision"] == "refer"
    assert reason in result["reasons"]
