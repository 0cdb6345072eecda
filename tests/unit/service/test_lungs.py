import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contract.errors import DigestMismatch
from contract.lung_field import LungFieldLimits
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.quality import Check, Quality
from contract.radiograph import Radiograph, decode
from service.errors import InferenceFailed
from service.lungs import LungSegmenter, draw_lungs, load_segmenter, look_for_lungs
from service.session import CPU, SessionOptions
from tests.bundles import SIZE, make_manifest, write_bundle, write_segmenter_bundle
from tests.synthetic import as_png

LIMITS = LungFieldLimits(doubt=0.1, lower=0.5)
CHEST = make_manifest("sha256:" + 64 * "0")
SLICE = make_manifest("sha256:" + 64 * "0", modalities=("CT",))


def quality(framing: float) -> Quality:
    return Quality(checks=(Check(name="framing", value=framing, lower=None, upper=0.9),))


Fit = Callable[[PreprocessingSpec], NDArray[np.uint8]]


def chest(*columns: int) -> Fit:
    """White, but for what the segmenter of the tests sees as lung: a square in these columns."""
    pixels = np.full((8, 8), 255, np.uint8)
    for column in columns:
        pixels[2:6, column : column + 2] = 0
    radiograph = decode(as_png(np.kron(pixels, np.ones((16, 16), np.uint8))))
    return partial(preprocess, radiograph)


TWO_LUNGS, ONE_LUNG = chest(1, 5), chest(1)


def loaded(folder: Path) -> LungSegmenter:
    segmenter = load_segmenter(folder, SessionOptions())
    assert segmenter is not None
    return segmenter


@pytest.fixture
def segmenter(tmp_path: Path) -> LungSegmenter:
    write_segmenter_bundle(tmp_path, lung_field=LIMITS)
    return loaded(tmp_path)


def test_a_repository_of_classifiers_alone_has_no_segmenter(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    assert load_segmenter(tmp_path, SessionOptions()) is None


def test_of_several_segmenters_the_first_name_serves_in_its_latest_version(tmp_path: Path) -> None:
    for name, version in (("lungs", 2), ("lungs", 10), ("more-lungs", 11)):
        write_segmenter_bundle(tmp_path, name, version)

    manifest = loaded(tmp_path).manifest

    assert (manifest.name, manifest.version) == ("lungs", 10)


def test_a_segmenter_runs_on_the_cpu_whatever_the_classifiers_run_on(tmp_path: Path) -> None:
    write_segmenter_bundle(tmp_path)

    segmenter = load_segmenter(tmp_path, SessionOptions(provider="cuda"))

    assert segmenter is not None
    assert segmenter.graph.provider == CPU


def test_a_changed_segmenter_is_not_loaded(tmp_path: Path) -> None:
    (write_segmenter_bundle(tmp_path) / "model.onnx").write_bytes(b"another")

    with pytest.raises(DigestMismatch, match="lungs/1"):
        load_segmenter(tmp_path, SessionOptions())


def test_a_segmenter_is_run_once_before_it_serves(tmp_path: Path) -> None:
    write_segmenter_bundle(tmp_path, fails_on=0)

    with pytest.raises(InferenceFailed):
        load_segmenter(tmp_path, SessionOptions())


def test_a_map_has_the_segmenters_own_size(segmenter: LungSegmenter) -> None:
    found = segmenter.find(TWO_LUNGS(segmenter.manifest.preprocessing))

    assert found.shape == (SIZE, SIZE)
    assert found[16, 8] == found[16, 24] == 1
    assert found[16, 16] == 0


@pytest.mark.parametrize(
    ("image", "failed"), [(TWO_LUNGS, []), (ONE_LUNG, ["lung_field"])], ids=["two", "one"]
)
def test_where_framing_is_suspicious_the_lungs_decide(
    segmenter: LungSegmenter, image: Fit, failed: list[str]
) -> None:
    lungs, found = look_for_lungs(segmenter, CHEST, image, quality(0.3), drawn=False)

    assert lungs is not None
    assert found is not None
    assert [check.name for check in found.checks] == ["framing", "lung_field"]
    assert [check.name for check in found.failed] == failed


@pytest.mark.parametrize("given", [quality(0.05), None], ids=["no doubt", "no limits"])
def test_to_draw_the_lungs_changes_nothing_of_the_quality(
    segmenter: LungSegmenter, given: Quality | None
) -> None:
    lungs, found = look_for_lungs(segmenter, CHEST, ONE_LUNG, given, drawn=True)
    not_drawn = look_for_lungs(segmenter, CHEST, ONE_LUNG, given, drawn=False)

    assert lungs is not None
    assert found is given
    assert not_drawn == (None, given)


def test_a_slice_has_no_lungs_to_find(segmenter: LungSegmenter) -> None:
    given = quality(0.3)

    assert look_for_lungs(segmenter, SLICE, ONE_LUNG, given, drawn=True) == (None, given)


def test_without_a_segmenter_nothing_is_found() -> None:
    given = quality(0.3)

    assert look_for_lungs(None, CHEST, ONE_LUNG, given, drawn=True) == (None, given)


def test_without_limits_the_lungs_are_found_and_not_judged(tmp_path: Path) -> None:
    write_segmenter_bundle(tmp_path)
    given = quality(0.3)

    lungs, found = look_for_lungs(loaded(tmp_path), CHEST, ONE_LUNG, given, drawn=True)

    assert lungs is not None
    assert found is given


def test_the_picture_has_the_heatmaps_size_and_is_white_where_the_lungs_are(
    segmenter: LungSegmenter,
) -> None:
    image = Radiograph(np.zeros((0, 0), np.uint8), "PNG", 3000, 2000, 1, 1, None)

    picture = draw_lungs(segmenter.find(TWO_LUNGS(segmenter.manifest.preprocessing)), image)

    with Image.open(io.BytesIO(base64.b64decode(picture.data))) as png:
        drawn = np.asarray(png)
    assert drawn.shape == (picture.height, picture.width) == (1024, 683)
    assert np.unique(drawn).tolist() == [0, 255]
    assert drawn[512, 170] == drawn[512, 512] == 255
    assert drawn[512, 341] == drawn[100, 170] == 0
