from dataclasses import asdict

import numpy as np
import pytest

from contract.decision import Decision
from contract.radiograph import Radiograph
from service.overlays import draw_finding
from service.schemas import HeatmapResult
from tests.bundles import GAIN, make_manifest
from tests.integration.live import pixels_of

MANIFEST = make_manifest("sha256:" + 64 * "0")


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [
        (300, 200, (300, 200)),
        (1024, 1024, (1024, 1024)),
        (2000, 3000, (683, 1024)),
        (1, 5000, (1, 1024)),
    ],
)
@pytest.mark.parametrize(("strength", "gray"), [(-0.7, 0), (0.25, 64), (1, 255), (2.2, 255)])
def test_strength_is_drawn_from_nothing_to_the_scale_in_the_radiographs_size_up_to_1024(
    rows: int, columns: int, size: tuple[int, int], strength: float, gray: int
) -> None:
    image = Radiograph(np.zeros((0, 0), np.uint8), "PNG", rows, columns, 1, 1, None)
    outputs = {"activation_map": np.full((1, 4, 4, 2), strength * GAIN / 2, np.float32)}
    decided = Decision(present=(False, True), label="pneumonia")

    heatmap = draw_finding(MANIFEST, outputs, decided, None, image)

    result = HeatmapResult(media_type="image/png", **asdict(heatmap))
    assert np.array_equal(pixels_of(result), np.full(size, gray))
