from collections.abc import Iterator
from functools import partial

from contract.radiograph import decode
from tests.fuzz.inputs import CHEST, CORPUS, mutated, originals
from tests.fuzz.run import Fault, run

REGRESSIONS = sorted(CORPUS.iterdir())
SEED, INPUTS = 2, 20_000


def faults(inputs: Iterator[int | Fault]) -> list[Fault]:
    return [each for each in inputs if isinstance(each, Fault)]


def test_no_mutated_file_crashes_overruns_or_gives_a_foreign_error() -> None:
    assert faults(run(partial(mutated, SEED), 0, INPUTS)) == []


def test_the_drawn_files_are_read_before_they_are_changed() -> None:
    for data in originals()[:26]:
        assert decode(data).pixels.shape == CHEST.shape


def regression(number: int) -> bytes:
    return REGRESSIONS[number].read_bytes()


def test_what_once_failed_fails_no_more() -> None:
    assert faults(run(regression, 0, len(REGRESSIONS))) == []
