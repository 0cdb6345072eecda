from pathlib import Path

import pytest

from bench.limit import LimitJob, LimitRound, combine, measure, splits
from tests.bundles import expected_pneumonia, write_bundle
from tests.synthetic import as_jpeg, synthetic_radiograph

SIZE = 32


def test_the_limit_runs_the_model_on_every_image(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "models", size=SIZE)
    (tmp_path / "images").mkdir()
    pixels = synthetic_radiograph(SIZE, SIZE)
    (tmp_path / "images" / "0").write_bytes(as_jpeg(pixels))
    job = LimitJob(bundle=bundle, images=tmp_path / "images", provider="cpu", cores=2, seconds=0.02)

    found = measure(job)

    assert found.probabilities[0][1] == pytest.approx(expected_pneumonia(pixels), abs=0.02)
    assert len(found.rates) == len(splits(2, "cpu"))
    assert min(*found.rates, *found.cpu_ms, found.decode_per_s, found.run_per_s) > 0


def one_round(rates: tuple[float, float], decode_per_s: float) -> LimitRound:
    return LimitRound(
        splits=((2, 1, 1), (2, 2, 1)),
        rates=rates,
        cpu_ms=(5, 7),
        decode_per_s=decode_per_s,
        run_per_s=1000,
        sequential_ms=4,
        probabilities=((0.5, 0.5),),
    )


def test_the_limit_is_the_best_split_over_all_rounds() -> None:
    rounds = [one_round((300, 390), 800), one_round((410, 395), 820)]

    limit = combine(rounds, "cpu")

    assert limit.images_per_s == pytest.approx(392.5)
    assert limit.cpu_ms_per_image == 7
    assert limit.splits[0].images_per_s == (300, 410)


def test_on_a_gpu_the_limit_is_the_lesser_of_decoding_and_running() -> None:
    assert combine([one_round((300, 390), 800)], "cuda").images_per_s == 800
    assert combine([one_round((300, 390), 1200)], "cuda").images_per_s == 1000
