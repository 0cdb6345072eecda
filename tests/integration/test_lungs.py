"""Where the service looks for the lungs, and what it says of them, over real HTTP."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.lungs import LungFieldLimits
from contract.quality import ADVICE, Limit, QualityLimits, Template, Templates
from service.schemas import ImageAnswer, ImageRejection, PredictionBody
from service.settings import Settings
from tests.bundles import write_bundle, write_segmenter_bundle
from tests.integration.live import Live, pixels_of, serving
from tests.synthetic import as_png

# A chest whose right half is brighter stands for one that may be cut off: neither sure nor absurd.
LOPSIDED = Template(fault="framing", bias=-16, weights=(-4, 4, -4, 4))
LIMITS = QualityLimits(
    limits=(Limit(check="framing", upper=0.9),),
    position=Templates(side=2, templates=(LOPSIDED,)),
)
LUNG_FIELD = LungFieldLimits(doubt=0.1, lower=0.5)
# On a picture that has this gray all over, the segmenter of these tests fails.
FATAL = 200


@pytest.fixture(scope="module")
def with_lungs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("with-lungs")
    write_bundle(models, quality=LIMITS)
    write_bundle(models, "tiny-ct", modalities=("CT",))
    write_segmenter_bundle(models, lung_field=LUNG_FIELD, fails_on=FATAL)
    with serving(Settings(models_dir=models, port=0)) as running:
        yield running


def chest(right: int, left: int) -> NDArray[np.uint8]:
    """White, with the two lungs in these grays, 128 by 128 pixels."""
    image = np.full((128, 128), 255, np.uint8)
    image[32:96, 16:48] = right
    image[32:96, 80:112] = left
    return image


def answer(live: Live, image: NDArray[np.uint8], **query: object) -> ImageAnswer:
    return live.answer(as_png(image), **query)


def checks(found: ImageAnswer) -> list[str]:
    assert found.quality is not None
    return [check.name for check in found.quality.checks]


def test_a_heatmap_comes_with_the_lungs_in_its_own_size(with_lungs: Live) -> None:
    found = answer(with_lungs, chest(0, 0), explain="heatmap")

    drawn = pixels_of(found.lungs)
    assert found.heatmap is not None
    assert drawn.shape == pixels_of(found.heatmap).shape == (128, 128)
    # But for the corners, which a finer outline rounds off.
    assert ((drawn == 255) == (chest(0, 0) == 0)).mean() > 0.99
    assert found.heatmap.inside_lungs is not None
    assert 0 < found.heatmap.inside_lungs < 1


def test_without_a_heatmap_a_chest_that_is_plainly_whole_is_not_searched(with_lungs: Live) -> None:
    found = answer(with_lungs, chest(0, 0))

    assert found.lungs is None
    assert checks(found) == ["framing"]


@pytest.mark.parametrize("explain", ["none", "heatmap"])
def test_a_missing_lung_is_referred_whether_a_heatmap_is_asked_for_or_not(
    with_lungs: Live, explain: str
) -> None:
    found = answer(with_lungs, chest(0, 255), explain=explain)

    assert found.decision == "refer"
    assert "quality.lung_field" in found.reasons
    assert found.quality is not None
    assert found.quality.checks[-1].model_dump() == {
        "name": "lung_field",
        "value": 0.0,
        "lower": 0.5,
        "upper": None,
        "passed": False,
        "advice": ADVICE["lung_field", "lower"],
    }


def test_a_suspicion_that_the_lungs_refute_refers_nobody(with_lungs: Live) -> None:
    found = answer(with_lungs, chest(0, 100))

    assert checks(found) == ["framing", "lung_field"]
    assert found.quality is not None
    assert found.quality.accepted


def test_a_model_of_slices_has_no_lungs(with_lungs: Live) -> None:
    found = answer(with_lungs, chest(0, 0), model="tiny-ct", explain="heatmap")

    assert found.heatmap is not None
    assert (found.lungs, found.heatmap.inside_lungs) == (None, None)


def test_a_file_on_which_the_segmenter_fails_does_not_hold_up_the_others(with_lungs: Live) -> None:
    bad, good = as_png(np.full((64, 64), FATAL, np.uint8)), as_png(chest(0, 0))

    response = with_lungs.predict_files(("bad", bad), ("good", good), explain="heatmap")

    first, second = PredictionBody.model_validate_json(response.content).results
    assert isinstance(first, ImageRejection)
    assert first.problem.type == "/problems/internal-error"
    assert isinstance(second, ImageAnswer)


def test_without_a_segmenter_there_is_a_heatmap_alone(live: Live) -> None:
    found = answer(live, chest(0, 0), explain="heatmap")

    assert found.heatmap is not None
    assert (found.lungs, found.heatmap.inside_lungs) == (None, None)
