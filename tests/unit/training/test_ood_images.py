from pathlib import Path

import numpy as np
import pytest

from contract.preprocessing import PreprocessingSpec
from tests.synthetic import as_dicom, as_png, synthetic_radiograph
from training.errors import DataError
from training.ood_images import KINDS, made_up, read_ood_images

SPEC = PreprocessingSpec(height=32, width=48)


def test_every_kind_is_drawn_at_the_size_of_the_model() -> None:
    kinds = made_up(SPEC, count=3)

    assert list(kinds) == ["photographs", "documents", "noise", "blank", "phantoms"]
    assert {images.shape for images in kinds.values()} == {(3, 32, 48, 1)}
    assert {images.dtype for images in kinds.values()} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_kind_has_many_different_images_and_the_seed_decides_them(kind: str) -> None:
    first, again, other = (
        [(plane.mean(), plane.std()) for plane in (KINDS[kind](random) for _ in range(5))]
        for random in (np.random.default_rng(seed) for seed in (0, 0, 1))
    )

    assert len(set(first)) > 3
    assert again == first
    assert other != first


def test_each_folder_is_a_kind_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    radiograph = synthetic_radiograph(64, 64)
    (tmp_path / "hands" / "left").mkdir(parents=True)
    (tmp_path / "letters").mkdir()
    (tmp_path / "hands" / "left" / "one.png").write_bytes(as_png(radiograph))
    (tmp_path / "hands" / "two.dcm").write_bytes(as_dicom(radiograph))
    (tmp_path / "letters" / "three.txt").write_text("Dear colleague")

    kinds = read_ood_images(tmp_path, SPEC)

    assert {kind: images.shape for kind, images in kinds.items()} == {"hands": (2, 32, 48, 1)}
    np.testing.assert_array_equal(*kinds["hands"])


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match="one folder for each kind"):
        read_ood_images(tmp_path, SPEC)
