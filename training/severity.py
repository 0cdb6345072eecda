"""Does the share of the lungs that a model marks follow how ill the experts find them?

Source: Cohen 2020, Predicting COVID-19 Pneumonia Severity on Chest X-ray With Deep Learning: the
scores, and the idea of holding a model against them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.findings import Label
from contract.lungs import involvement, split_lungs
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from training.datasets.covid_chestxray import CovidChestxrayAdapter
from training.errors import LayoutMismatch, RecipeError
from training.lungs.segment import Segment
from training.metrics import Floats, estimate, patient_bootstrap
from training.rank_correlation import rank_correlation
from training.workdir import TrainedModel, load_trained

SCORES = {"extent": "geographic_mean", "opacity": "opacity_mean"}
# A heatmap that is drawn at half its strength or more counts as involved lung.
SHARE_OF_SCALE = 0.5


class SeverityCorrelation(BaseModel):
    """Spearman's rank correlation with one expert score, with its 95 % interval by patients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: str
    value: float
    lower: float
    upper: float
    images: int
    patients: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies above zero: only then may the share be shown as severity."""
        return self.lower > 0


def involved_shares(
    maps: NDArray[np.float32], masks: NDArray[np.bool_], threshold: float
) -> Floats:
    """The share of each image's lung area that lies under the thresholded activation map.

    Args:
        maps: One class's activation maps, float32, shape (images, rows, columns).
        masks: Lungs, bool, shape (images, height, width).
        threshold: The activation above which a place counts as involved.

    Returns:
        Shape (images,), 0 to 1; not a number where there is no lung.
    """
    shares = [
        involvement(activation, split_lungs(mask), threshold).both
        for activation, mask in zip(maps, masks, strict=True)
    ]
    return np.array(shares, np.float64)


def severity_correlations(
    shares: Floats, scores: Mapping[str, Floats], patients: NDArray[np.str_], seed: int
) -> tuple[SeverityCorrelation, ...]:
    """Compare the involved shares with each expert score, by rank.

    Args:
        shares: Shape (images,): from ``involved_shares``. Those that are no number are left out.
        scores: By name, shape (images,) each.
        patients: The patient of each image, shape (images,).
        seed: Of the bootstrap.
    """
    usable = np.isfinite(shares)
    shares, patients = shares[usable], patients[usable]
    draws = patient_bootstrap(patients, seed).astype(np.int64)
    rows = [np.repeat(np.arange(len(shares)), draw) for draw in draws]
    found = []
    for name, values in scores.items():
        expert = np.asarray(values, np.float64)[usable]
        value = np.array([rank_correlation(shares, expert)])
        resampled = np.array([rank_correlation(shares[row], expert[row]) for row in rows])
        figure = estimate(value, resampled)
        found.append(
            SeverityCorrelation(
                score=name,
                value=figure.value,
                lower=figure.lower,
                upper=figure.upper,
                images=len(shares),
                patients=len(np.unique(patients)),
            )
        )
    return tuple(found)


def read_severity_scores(root: Path) -> pd.DataFrame:
    """List the radiographs of covid-chestxray-dataset that experts have scored.

    Args:
        root: Its folder, or the one above it.

    Returns:
        One row per image: ``path`` (absolute), ``patient``, ``extent`` from 0 to 8 and ``opacity``
        from 0 to 6.

    Raises:
        LayoutMismatch: There is no ``severity.csv``, or none of its images.
    """
    dataset = CovidChestxrayAdapter().read(root, "train")
    sheet = dataset.root / "severity.csv"
    if not sheet.is_file():
        raise LayoutMismatch(f"{dataset.root} has no severity.csv, which holds the expert scores.")
    columns = {column: name for name, column in SCORES.items()}
    scores = pd.read_csv(sheet, comment="#").rename(columns=columns)
    images = dataset.table.assign(filename=[Path(path).name for path in dataset.table["path"]])
    table = images.merge(scores, on="filename")
    if table.empty:
        raise LayoutMismatch(f"None of the images that {sheet} scores is there.")
    paths = [dataset.root / path for path in table["path"]]
    return table.assign(path=paths)[["path", "patient", *SCORES]]


def measure_severity(
    workdir: Path, data: Path, label: Label, segment: Segment
) -> tuple[SeverityCorrelation, ...]:
    """Hold a trained classifier against the expert scores.

    Args:
        workdir: Of a finished training.
        data: The folder of covid-chestxray-dataset, or the one above it.
        label: The finding whose activation map is measured.
        segment: Draws the lungs, as ``training.lungs.segment.load_segment`` gives it.

    Raises:
        WorkdirIncomplete: The training has not ended.
        RecipeError: The model has no such finding.
        LayoutMismatch: The scores are not there.
        ImageError: A scored image cannot be read.
    """
    return correlate_severity(load_trained(workdir), data, label, segment)


def correlate_severity(
    trained: TrainedModel, data: Path, label: Label, segment: Segment
) -> tuple[SeverityCorrelation, ...]:
    """As ``measure_severity``, for a classifier that is loaded already.

    Raises:
        RecipeError: The model has no such finding.
        LayoutMismatch: The scores are not there.
        ImageError: A scored image cannot be read.
    """
    labels = [finding.label for finding in trained.calibration.findings]
    if label not in labels:
        raise RecipeError(f"The model has no finding {label}. It has {', '.join(labels)}.")
    number = labels.index(label)
    table = read_severity_scores(data)
    images = _read_images(table["path"], trained.config.preprocessing)
    maps = trained.serving_model().predict(images, verbose=0)["activation_map"][..., number]
    threshold = SHARE_OF_SCALE * trained.calibration.findings[number].activation_scale
    return severity_correlations(
        involved_shares(maps, segment(images), threshold),
        {name: table[name].to_numpy(np.float64) for name in SCORES},
        table["patient"].to_numpy(str),
        trained.config.seed,
    )


def _read_images(paths: pd.Series, spec: PreprocessingSpec) -> NDArray[np.uint8]:
    return np.stack(
        [preprocess(decode(path.read_bytes(), at_least=spec.size), spec) for path in paths]
    )
