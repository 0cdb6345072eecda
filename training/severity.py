"""Does the share of the lungs that a model marks follow how ill experts find them?

Source: Cohen 2020, Predicting COVID-19 Pneumonia Severity on Chest X-ray With Deep Learning: the
scores, and the idea of holding a model against them.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, spearmanr

from contract.findings import Label
from contract.lungs import involvement
from contract.manifest import Metric
from training.datasets import read_dataset
from training.errors import DataError, RecipeError
from training.image_cache import read_input
from training.lungs import Segment
from training.metrics import Floats, estimate, patient_bootstrap
from training.workdir import load_trained

SCORES = {"extent": "geographic_mean", "opacity": "opacity_mean"}
# A heatmap that is drawn at half its strength or more counts as involved lung.
SHARE_OF_SCALE = 0.5


def severity_correlations(
    shares: Floats, scores: Mapping[str, Floats], patients: NDArray[np.str_], seed: int
) -> tuple[Metric, ...]:
    """Compare the involved shares with each expert score, by Spearman's rank correlation.

    Args:
        shares: Shape (images,), 0 to 1; images without a lung are not a number and are left out.
        scores: By name, shape (images,) each.
        patients: The patient of each image, shape (images,).
        seed: Of the bootstrap over patients.

    Returns:
        One figure for each score, -1 to 1, with its 95 % interval.
    """
    usable = np.isfinite(shares)
    shares, patients = shares[usable], patients[usable]
    draws = patient_bootstrap(patients, seed).astype(np.int64)
    rows = [np.repeat(np.arange(len(shares)), draw) for draw in draws]
    found = []
    for name, values in scores.items():
        expert = np.asarray(values, np.float64)[usable]
        with warnings.catch_warnings():
            # Of a draw in which all are alike the correlation is not a number.
            warnings.simplefilter("ignore", ConstantInputWarning)
            value = spearmanr(shares, expert).statistic
            drawn = [spearmanr(shares[row], expert[row]).statistic for row in rows]
        figure = estimate(np.array([value]), np.array(drawn))._asdict()
        found.append(Metric(dataset="scored radiographs", name=name, images=len(shares), **figure))
    return tuple(found)


def read_severity_scores(root: Path) -> pd.DataFrame:
    """List the radiographs of covid-chestxray-dataset that experts have scored.

    Args:
        root: Its folder, or the one above it.

    Returns:
        One row per image: ``path`` (absolute), ``patient``, ``extent`` from 0 to 8 and ``opacity``
        from 0 to 6.

    Raises:
        DataError: There is no ``severity.csv``, or none of its images.
    """
    dataset = read_dataset("covid-chestxray", root, "train")
    sheet = dataset.root / "severity.csv"
    if not sheet.is_file():
        raise DataError(f"{dataset.root} has no severity.csv, which holds the expert scores.")
    scores = pd.read_csv(sheet, comment="#").rename(
        columns={old: new for new, old in SCORES.items()}
    )
    paths = [dataset.root / path for path in dataset.table["path"]]
    images = dataset.table.assign(path=paths, filename=[path.name for path in paths])
    table = images.merge(scores, on="filename")
    if table.empty:
        raise DataError(f"None of the images that {sheet} scores is there.")
    return table[["path", "patient", *SCORES]]


def measure_severity(
    workdir: Path, data: Path, label: Label, segment: Segment
) -> tuple[Metric, ...]:
    """Hold a trained classifier against the expert scores.

    Args:
        workdir: Of a finished training.
        data: The folder of covid-chestxray-dataset, or the one above it.
        label: The finding whose activation map is measured.
        segment: Draws the lungs.

    Raises:
        WorkdirIncomplete: The training has not ended.
        RecipeError: The model has no such finding.
        DataError: The scores are not there.
        ImageError: A scored image cannot be read.
    """
    trained = load_trained(workdir)
    findings = {finding.label: finding for finding in trained.calibration.findings}
    if label not in findings:
        raise RecipeError(f"The model has no finding {label}. It has {', '.join(findings)}.")
    table, spec = read_severity_scores(data), trained.config.preprocessing
    images = np.stack([read_input(path, spec) for path in table["path"]])
    maps = trained.serving_model().predict(images, verbose=0)["activation_map"]
    maps = maps[..., list(findings).index(label)]
    threshold = SHARE_OF_SCALE * findings[label].activation_scale
    shares = [
        involvement(activation, mask, threshold)
        for activation, mask in zip(maps, segment(images), strict=True)
    ]
    return severity_correlations(
        np.array(shares, np.float64),
        {name: table[name].to_numpy(np.float64) for name in SCORES},
        table["patient"].to_numpy(str),
        trained.config.seed,
    )
