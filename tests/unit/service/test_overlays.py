import base64
import io

import numpy as np
import pytest
from PIL import Image

from contract.radiograph import Radiograph
from service.overlays import draw_heatmap, heatmap_size


def image(rows: int, columns: int) -> Radiograph:
    return Radiograph(np.zeros((0, 0), np.uint8), "PNG", rows, columns, 1, 1, None)


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [
        (300, 200, (300, 200)),
        (1024, 1024, (1024, 1024)),
        (2048, 1024, (1024, 512)),
        (2000, 3000, (683, 1024)),
        (1, 5000, (1, 1024)),
    ],
)
def test_the_size_is_the_radiographs_up_to_1024(
    rows: int, columns: int, size: tuple[int, int]
) -> None:
    assert heatmap_size(image(rows, columns)) == size


@pytest.mark.parametrize(
    ("activation", "gray"), [(-3.0, 0), (0.0, 0), (1.0, 64), (2.0, 128), (4.0, 255), (9.0, 255)]
)
def test_strength_is_drawn_from_nothing_to_the_scale(activation: float, gray: int) -> None:
    flat = np.full((4, 4), activation, np.float32)

    heatmap = draw_heatmap(flat, 4.0, "pneumonia", image(30, 20))

    with Image.open(io.BytesIO(base64.b64decode(heatmap.data))) as png:
        assert np.array_equal(np.asarray(png), np.full((30, 20), gray))
