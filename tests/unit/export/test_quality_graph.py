"""The measures in the graph are those of the contract."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.manifest import OOD_SCORE, QUALITY
from contract.quality import MEASURES, Template, Templates, measure_pixels
from export.graph import tensor_specs
from export.quality_graph import OUTPUT, TOLERANCES, add_quality
from export.session import open_session, run_in_batches
from tests.bundles import brightness_graph
from tests.synthetic import synthetic_radiograph


def pictures(side: int) -> NDArray[np.uint8]:
    """Drawn chests; some in a frame, noise, one gray, a ramp, and nothing at all."""
    random = np.random.default_rng(0)
    chests = [synthetic_radiograph(side, side, n / 4, seed=n) for n in range(4)]
    framed = [np.zeros_like(chest) for chest in chests]
    for picture, chest in zip(framed, chests, strict=True):
        lit = slice(side // 4, -side // 5), slice(side // 8, -side // 3)
        picture[lit] = chest[lit]
    ramp = np.tile(np.linspace(0, 255, side), (side, 1))
    flat = [np.full((side, side), level) for level in (0, 2, 3, 128, 249, 250, 255)]
    noise = random.integers(0, 256, (side, side))
    return np.stack([*chests, *framed, ramp, noise, *flat]).astype(np.uint8)[..., np.newaxis]


def templates(side: int) -> Templates:
    """Two for the same fault, as models have them, and one for each of the others."""
    random = np.random.default_rng(1)
    faults = ("rotation", "rotation", "framing", "inversion")
    return Templates(
        side=side,
        templates=tuple(
            Template(fault=fault, bias=number - 1.5, weights=tuple(random.normal(0, 0.2, side**2)))
            for number, fault in enumerate(faults)
        ),
    )


@pytest.mark.parametrize("position", [None, templates(12), templates(7)])
@pytest.mark.parametrize("side", [32, 192, 224, 250])
def test_the_graph_measures_what_the_contract_measures(
    side: int, position: Templates | None
) -> None:
    images = pictures(side)
    model = add_quality(brightness_graph(side), position).SerializeToString()

    found = run_in_batches(open_session(model), images)[QUALITY]

    expected = np.stack([measure_pixels(image[..., 0], position) for image in images])
    assert found.shape == (len(images), len(MEASURES))
    assert (np.abs(found - expected) <= TOLERANCES).all()
    assert np.median(np.abs(found - expected)) < 1e-6


def test_the_measures_are_one_more_output_however_often_they_are_added() -> None:
    bare = brightness_graph(ood_score=True)

    proto = add_quality(bare)

    assert set(tensor_specs(proto.graph.output)) == {*tensor_specs(bare.graph.output), OUTPUT}
    assert add_quality(proto) == proto
    assert OOD_SCORE in {output.name for output in proto.graph.output}
