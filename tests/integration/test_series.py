"""Several slices of one CT series in one request."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import Metric, read_manifest
from contract.series import FIGURE
from service.schemas import PredictionBody
from tests.bundles import describe, write_bundle
from tests.integration.live import REPOSITORY, Live, serving_models
from tests.synthetic import as_dicom

SERIES, OTHER_SERIES = "1.2.3", "1.2.4"
BRIGHT, DIM, DARK = 100, -560, -1300


def ct_slice(*hounsfield: int, series: str = SERIES, modality: str = "CT") -> bytes:
    """A slice with bands of these values."""
    pixels = np.repeat(np.array(hounsfield, np.int16), 64 // len(hounsfield))
    return as_dicom(
        np.tile(pixels, (64, 1)),
        Modality=modality,
        BodyPartExamined="CHEST",
        SeriesInstanceUID=series,
        RescaleIntercept=0,
        RescaleSlope=1,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder, "chest")
    bundle = write_bundle(folder, "slices", modalities=("CT",), ood_limit=100)
    figure = Metric(dataset="drawn", name=FIGURE, value=0.9, lower=0.8, upper=0.95, images=12)
    describe(bundle, metrics=(*read_manifest(bundle).metrics, figure))
    return folder


@pytest.fixture(scope="module")
def live(models: Path) -> Iterator[Live]:
    with serving_models(models) as running:
        yield running


def posted(live: Live, *files: bytes) -> PredictionBody:
    named = [(f"{number}.dcm", file) for number, file in enumerate(files)]
    response = live.predict_files(*named)
    assert response.status_code == 200
    return PredictionBody.model_validate_json(response.content)


def test_the_slices_of_a_series_get_one_more_answer_with_rule_and_figure(live: Live) -> None:
    body = posted(live, ct_slice(BRIGHT), b"no image", ct_slice(BRIGHT - 20), ct_slice(DIM))

    assert [result.status for result in body.results] == ["ok", "error", "ok", "ok"]
    [series] = body.series
    slices = [body.results[number] for number in series.slices]
    said = [[f.probability for f in each.findings] for each in slices if each.status == "ok"]
    assert (series.series_instance_uid, series.slices, series.left_out) == (SERIES, [0, 2, 3], [])
    assert series.model == body.model
    assert series.model.intended_use == "Research only. Not for diagnosis."
    assert [f.probability for f in series.findings] == pytest.approx(np.mean(said, axis=0))
    assert series.rule == "mean"
    assert series.figure is not None
    assert (series.figure.value, series.figure.images) == (0.9, 12)
    assert series.sentence == (
        "The mean of the probabilities of 3 of 3 slices. "
        "AUROC of held-out series: 0.90 (0.80 to 0.95)."
    )


def test_a_series_is_decided_as_an_image_is(live: Live) -> None:
    clear = posted(live, ct_slice(BRIGHT), ct_slice(BRIGHT - 20)).series[0]
    split = posted(live, ct_slice(BRIGHT), ct_slice(DARK)).series[0]

    assert (clear.decision, clear.reasons) == ("pneumonia", [])
    assert [finding.present for finding in clear.findings] == [False, True]
    assert (split.decision, split.reasons) == ("refer", ["uncertain"])


def test_a_strange_slice_does_not_count_and_most_of_them_refer_the_series(live: Live) -> None:
    strange = ct_slice(BRIGHT, DARK)

    one = posted(live, strange, ct_slice(BRIGHT), ct_slice(BRIGHT - 20)).series[0]
    most = posted(live, strange, ct_slice(DARK, BRIGHT), ct_slice(BRIGHT)).series[0]

    assert (one.slices, one.left_out, one.decision) == ([0, 1, 2], [0], "pneumonia")
    assert (most.left_out, most.decision) == ([0, 1], "refer")
    assert most.reasons == ["out_of_distribution"]


def test_each_series_of_a_request_has_an_answer_of_its_own(live: Live) -> None:
    body = posted(
        live,
        ct_slice(BRIGHT),
        ct_slice(DARK, series=OTHER_SERIES),
        ct_slice(BRIGHT - 20),
        ct_slice(DARK + 50, series=OTHER_SERIES),
    )

    assert [(each.slices, each.decision) for each in body.series] == [
        ([0, 2], "pneumonia"),
        ([1, 3], "normal"),
    ]


@pytest.mark.parametrize(
    "files",
    [
        [ct_slice(BRIGHT), ct_slice(DARK, series=OTHER_SERIES)],
        [ct_slice(BRIGHT), ct_slice(BRIGHT)],
        [ct_slice(BRIGHT), ct_slice(DIM, modality="DX")],
        [ct_slice(BRIGHT, modality="DX"), ct_slice(DIM, modality="DX")],
    ],
    ids=["two series", "one slice twice", "a slice and a film", "two films"],
)
def test_what_is_no_series_of_slices_has_no_more_answer(live: Live, files: list[bytes]) -> None:
    response = live.predict_files(*((f"{n}.dcm", file) for n, file in enumerate(files)))

    assert "series" not in response.json()


def test_a_series_is_known_by_its_results_where_no_uid_may_be_named(models: Path) -> None:
    with serving_models(models, echo_uids=False) as silent:
        response = silent.predict_files(("a", ct_slice(BRIGHT)), ("b", ct_slice(DIM)))

    [series] = response.json()["series"]
    assert series["slices"] == [0, 1]
    assert "uid" not in response.text


def test_the_ct_model_that_ships_states_its_figure_for_series(tmp_path: Path) -> None:
    (tmp_path / "ct-covid").symlink_to(REPOSITORY / "models" / "ct-covid")

    with serving_models(tmp_path) as running:
        [series] = posted(running, ct_slice(BRIGHT, DARK), ct_slice(DARK, BRIGHT)).series

    assert (series.model.name, series.decision) == ("ct-covid", "refer")
    assert series.figure is not None
    assert 0.5 < series.figure.lower < series.figure.value < series.figure.upper
