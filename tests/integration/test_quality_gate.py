"""Images that should not be answered, and where the service looks for the lungs; over real HTTP."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.lungs import LungFieldLimits
from contract.quality import ADVICE, Limit, QualityLimits, Template, Templates
from service.schemas import ImageAnswer, ImageRejection, PredictionBody
from tests.bundles import SIZE, write_bundle, write_segmenter_bundle
from tests.integration.live import Live, pixels_of, serving_models
from tests.synthetic import as_png

OOD_LIMIT = 230.0
# The left half brighter than the right one stands for an image that lies on its side.
ON_ITS_SIDE = Template(fault="rotation", bias=-4, weights=(4, -4, 4, -4))
LIMITS = QualityLimits(
    limits=(
        Limit(check="contrast", lower=0.05),
        Limit(check="aspect", lower=0.4, upper=2.5),
        Limit(check="resolution", lower=SIZE / 2),
        Limit(check="rotation", upper=0.5),
    ),
    position=Templates(side=2, templates=(ON_ITS_SIDE,)),
)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("gated")
    write_bundle(models, quality=LIMITS, ood_limit=OOD_LIMIT)
    with serving_models(models) as running:
        yield running


def stripes(dark: int, bright: int, rows: int = 64, columns: int = 64) -> NDArray[np.uint8]:
    """Bright above, dark below."""
    image = np.full((rows, columns), dark, np.uint8)
    image[: rows // 2] = bright
    return image


def test_a_good_and_familiar_image_is_answered(gated: Live) -> None:
    found = gated.answer(as_png(stripes(150, 255)))

    assert (found.decision, found.reasons) == ("pneumonia", [])
    assert found.quality is not None
    assert found.quality.accepted
    assert [check.name for check in found.quality.checks] == [
        limit.check for limit in LIMITS.limits
    ]
    assert all(check.passed and check.advice is None for check in found.quality.checks)
    assert found.out_of_distribution is not None
    assert found.out_of_distribution.model_dump() == {
        "score": pytest.approx(105, abs=1),
        "limit": OOD_LIMIT,
        "accepted": True,
    }


@pytest.mark.parametrize(
    ("image", "reasons"),
    [
        pytest.param(np.zeros((64, 64), np.uint8), {"quality.contrast"}, id="all black"),
        pytest.param(np.full((64, 64), 255, np.uint8), {"quality.contrast"}, id="all white"),
        pytest.param(
            np.full((1, 1), 255, np.uint8), {"quality.contrast", "quality.resolution"}, id="1 x 1"
        ),
        pytest.param(stripes(150, 255, 20000, 40), {"quality.aspect"}, id="20000 x 40"),
        pytest.param(stripes(150, 255).T, {"quality.rotation"}, id="turned"),
        pytest.param(stripes(0, 255), {"out_of_distribution", "uncertain"}, id="unfamiliar"),
        pytest.param(
            stripes(0, 255).T,
            {"quality.rotation", "out_of_distribution", "uncertain"},
            id="turned and unfamiliar",
        ),
    ],
)
def test_an_image_that_should_not_be_answered_is_referred_with_its_reasons(
    gated: Live, image: NDArray[np.uint8], reasons: set[str]
) -> None:
    found = gated.answer(as_png(np.ascontiguousarray(image)))

    assert found.decision == "refer"
    assert set(found.reasons) == reasons
    assert len(found.reasons) == len(reasons)
    assert found.quality is not None
    assert {f"quality.{check.name}" for check in found.quality.checks if not check.passed} == {
        reason for reason in reasons if reason.startswith("quality.")
    }
    assert found.out_of_distribution is not None
    assert found.out_of_distribution.accepted == ("out_of_distribution" not in reasons)


def test_a_failed_check_says_what_to_do_and_is_counted(gated: Live) -> None:
    def count(reason: str) -> float:
        line = f'pneumoscope_images_referred_total{{model="tiny",reason="{reason}",version="1"}} '
        lines = gated.client.get("/metrics").text.splitlines()
        return sum(float(each.removeprefix(line)) for each in lines if each.startswith(line))

    before = count("quality.contrast"), count("out_of_distribution")
    found = gated.answer(as_png(np.full((64, 64), 255, np.uint8)))

    assert (count("quality.contrast"), count("out_of_distribution")) == (before[0] + 1, before[1])
    assert found.quality is not None
    assert found.quality.checks[0].model_dump() == {
        "name": "contrast",
        "value": 0.0,
        "lower": 0.05,
        "upper": None,
        "passed": False,
        "advice": ADVICE["contrast", "lower"],
    }


# A chest whose right half is brighter stands for one that may be cut off: neither sure nor absurd.
LOPSIDED = Template(fault="framing", bias=-16, weights=(-4, 4, -4, 4))
FRAMING_LIMITS = QualityLimits(
    limits=(Limit(check="framing", upper=0.9),),
    position=Templates(side=2, templates=(LOPSIDED,)),
)
LUNG_FIELD = LungFieldLimits(doubt=0.1, lower=0.5)
# On a picture that has this gray all over, the segmenter of these tests fails.
FATAL = 200


@pytest.fixture(scope="module")
def with_lungs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    models = tmp_path_factory.mktemp("with-lungs")
    write_bundle(models, quality=FRAMING_LIMITS)
    write_bundle(models, "tiny-ct", modalities=("CT",))
    write_segmenter_bundle(models, lung_field=LUNG_FIELD, fails_on=FATAL)
    with serving_models(models) as running:
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


def test_a_chest_that_is_plainly_whole_is_not_searched_and_a_refuted_suspicion_refers_nobody(
    with_lungs: Live,
) -> None:
    whole, refuted = answer(with_lungs, chest(0, 0)), answer(with_lungs, chest(0, 100))

    assert whole.lungs is None
    assert checks(whole) == ["framing"]
    assert checks(refuted) == ["framing", "lung_field"]
    assert refuted.quality is not None
    assert refuted.quality.accepted


def test_slices_and_a_service_without_a_segmenter_have_no_lungs_nor_limits_that_are_not_set(
    with_lungs: Live, live: Live
) -> None:
    for found in (
        answer(with_lungs, chest(0, 0), model="tiny-ct", explain="heatmap"),
        answer(live, chest(0, 0), explain="heatmap"),
    ):
        assert found.heatmap is not None
        assert (found.lungs, found.heatmap.inside_lungs) == (None, None)
        assert not {"quality", "out_of_distribution"} & found.model_fields_set


def test_a_file_on_which_the_segmenter_fails_does_not_hold_up_the_others(with_lungs: Live) -> None:
    bad, good = as_png(np.full((64, 64), FATAL, np.uint8)), as_png(chest(0, 0))

    response = with_lungs.predict_files(("bad", bad), ("good", good), explain="heatmap")

    first, second = PredictionBody.model_validate_json(response.content).results
    assert isinstance(first, ImageRejection)
    assert first.problem.type == "/problems/internal-error"
    assert isinstance(second, ImageAnswer)
