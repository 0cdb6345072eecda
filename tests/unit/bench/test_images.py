from pathlib import Path

import pytest

from bench.images import SYNTHETIC_BYTES, draw, load_images
from contract.radiograph import decode
from tests.synthetic import as_jpeg, synthetic_radiograph


def test_original_radiographs_are_taken_where_there_are_some(tmp_path: Path) -> None:
    folder = tmp_path / "chest_xray_originals" / "NORMAL"
    folder.mkdir(parents=True)
    file = as_jpeg(synthetic_radiograph(64, 48))
    (folder / "one.jpeg").write_bytes(file)

    images = load_images(tmp_path)

    assert images.files == (file,)
    assert images.facts.real
    assert images.facts.mean_pixels == 64 * 48


def test_drawn_radiographs_have_the_size_of_original_ones() -> None:
    (file,) = draw(1)

    assert len(file) == pytest.approx(SYNTHETIC_BYTES, rel=0.2)
    assert decode(file).rows * decode(file).columns == pytest.approx(1_260_000, rel=0.05)
