"""How complete the lungs of a whole radiograph look: the limits of the quality check of that name.

They are fitted once, on radiographs of every source that there is, and travel with the segmenter:
whether two lungs are in a picture does not depend on which classifier reads it.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from contract.errors import ImageError
from contract.lung_field import LungFieldLimits
from contract.lungs import lung_field
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.config import Recipe
from training.degradations import cornered
from training.errors import CalibrationError
from training.lungs.segment import Segment, load_segment
from training.lungs.workdir import LungFieldFit, LungWorkdir
from training.source import read_development

IMAGES_PER_SOURCE = 120
# The share of whole radiographs that the limit refuses, were all of them looked at.
TAIL = 0.01
# With the templates of the models that ship, ``framing`` is above it for 0 to 7 % of the whole
# radiographs, and for 96 % or more of those that lack 30 % of their sides.
DOUBT = 0.1
CUTS = (0.2, 0.3, 0.4, 0.5)
DIGITS = 3

Images = NDArray[np.uint8]


def fit_lung_field(recipe: Recipe, data: Path, workdir: Path) -> LungFieldFit:
    """Fit what ``lung_field`` accepts, and keep it in the segmenter's workdir.

    Args:
        recipe: Of a classifier: its development images are what must be accepted.
        data: The folder that holds them.
        workdir: Of the finished training of the segmenter.

    Raises:
        WorkdirIncomplete: The training has not ended.
        DataError: The data set cannot be used.
        CalibrationError: All images are of one patient.
        WriteFailed: The disk is full, or the workdir cannot be written.
    """
    work, random = LungWorkdir(workdir), np.random.default_rng(recipe.seed)
    spec, segment = work.load().recipe.preprocessing, load_segment(workdir)
    dataset, _ = read_development(recipe, data)
    table = dataset.table.groupby("source").sample(frac=1, random_state=recipe.seed)
    table = table.groupby("source").head(IMAGES_PER_SOURCE)
    for_limits, for_measure = (
        _read(dataset.root, half, spec) for half in _two_halves(table, random)
    )
    lower = float(np.quantile(_completeness(for_limits, segment), TAIL))
    limits = LungFieldLimits(doubt=DOUBT, lower=round(lower, DIGITS))

    def below(images: Images) -> float:
        return float((_completeness(images, segment) < limits.lower).mean())

    found = LungFieldFit(
        limits=limits,
        fitted=len(for_limits),
        measured=len(for_measure),
        refused=below(for_measure),
        caught={cut: below(_cornered(for_measure, cut, random)) for cut in CUTS},
    )
    work.write_json(work.lung_field, found)
    return found


def _two_halves(table: pd.DataFrame, random: Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split in two, no patient on both sides."""
    names = random.permutation(table["group"].unique())
    if len(names) < 2:
        raise CalibrationError("The limits of lung_field need the images of at least two patients.")
    first = table["group"].isin(names[: len(names) // 2])
    return table[first], table[~first]


def _read(root: Path, table: pd.DataFrame, spec: PreprocessingSpec) -> Images:
    images = []
    for path in table["path"]:
        try:
            radiograph = decode((root / path).read_bytes(), at_least=spec.size)
        except ImageError:
            # Training has listed what cannot be read; here there are enough others.
            continue
        images.append(preprocess(radiograph, spec))
    return np.stack(images)


def _completeness(images: Images, segment: Segment) -> NDArray[np.float64]:
    return np.array([lung_field(mask).completeness for mask in segment(images)])


def _cornered(images: Images, cut: float, random: Generator) -> Images:
    return np.stack([cornered(image[..., 0], cut, random) for image in images])[..., np.newaxis]
