from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from contract.cost import estimate_cost
from contract.radiograph import Radiograph, decode
from tests.synthetic import as_dicom, as_jpeg, as_png, synthetic_radiograph

CHEST = synthetic_radiograph(96, 128)


def test_a_hint_of_the_needed_size_changes_nothing_but_jpeg() -> None:
    for data in (as_png(CHEST), as_dicom(CHEST)):
        assert np.array_equal(decode(data, at_least=(8, 8)).pixels, CHEST)


def test_decoding_in_several_threads_gives_the_same_pixels() -> None:
    files = [as_jpeg(CHEST), as_png(CHEST)] + [
        as_dicom(CHEST, TransferSyntaxUID=syntax)
        for syntax in (RLELossless, JPEG2000Lossless, JPEGBaseline8Bit)
    ]
    expected = [decode(data).pixels for data in files]

    with ThreadPoolExecutor(max_workers=8) as executor:
        decoded: list[Radiograph] = list(executor.map(decode, files * 20))

    for index, radiograph in enumerate(decoded):
        assert np.array_equal(radiograph.pixels, expected[index % len(files)])


def test_a_cost_that_is_known_is_not_worked_out_again() -> None:
    data = as_png(CHEST)
    cost = estimate_cost(data, max_pixels=CHEST.size)

    assert np.array_equal(decode(data, max_pixels=1, cost=cost).pixels, CHEST)
