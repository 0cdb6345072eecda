import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contract.radiograph import Radiograph
from service.domain import Picture
from service.overlays import draw_heatmap, heatmap_size


def image(rows: int, columns: int) -> Radiograph:
    return Radiograph(np.zeros((0, 0), np.uint8), "PNG", rows, columns, 1, 1, None)


def pixels_of(heatmap: Picture) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(heatmap.data))) as png:
        return np.asarray(png)


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

    assert pixels_of(heatmap).shape == (30, 20)
    assert np.unique(pixels_of(heatmap)).tolist() == [gray]


def test_a_place_in_the_map_is_the_same_place_in_the_radiograph() -> None:
    activation = np.zeros((4, 4), np.float32)
    activation[0, 3] = 1

    heatmap = draw_heatmap(activation, 1.0, "pneumonia", image(400, 800))

    rows, columns = np.nonzero(pixels_of(heatmap) > 128)
    assert rows.max() < 200
    assert columns.min() > 500
    assert (heatmap.label, heatmap.width, heatmap.height) == ("pneumonia", 800, 400)
