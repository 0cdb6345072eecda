from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from commissioning.cli import DEFAULT_BACKBONE
from export.cli import app

pytestmark = pytest.mark.data
SHARED = Path(__file__).parents[3] / "shared" / "more-data" / "weights"


def test_the_shipped_features_are_made_by_one_command(tmp_path: Path) -> None:
    weights = SHARED / "efficientnet_lite0_imagenet_notop.npz"
    if not weights.exists():
        pytest.skip("the ImageNet weights are absent")
    made = tmp_path / "features.onnx"

    done = CliRunner().invoke(app, ["features", str(weights), str(made)])

    assert done.exit_code == 0, done.output
    image = np.random.default_rng(0).random((2, 224, 224, 1), np.float32) * 255
    new, shipped = (
        onnxruntime.InferenceSession(file).run(None, {"image": image})[0]
        for file in (made, DEFAULT_BACKBONE)
    )
    np.testing.assert_allclose(new, shipped, atol=1e-3)
