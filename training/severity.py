"""Do general features of the lungs follow how ill experts find them?

A ridge regression on features of EfficientNet-Lite0, as ImageNet left them, averaged over the
lungs. Layer and penalty are chosen inside each fold, so that no choice has seen who is predicted.

Source: Cohen 2020, Predicting COVID-19 Pneumonia Severity on Chest X-ray With Deep Learning: the
scores, and a regression on frozen features; its network had been trained on radiographs.
"""

import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, spearmanr
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.manifest import Metric
from contract.pixels import resize
from contract.preprocessing import PreprocessingSpec
from training.backbones import build_backbone, build_standardisation
from training.config import ModelConfig
from training.datasets import read_dataset
from training.errors import DataError
from training.image_cache import read_input
from training.lungs import Images, Segment
from training.metrics import Floats, estimate, patient_bootstrap
from training.transforms import shifted

SCORES = {"extent": "geographic_mean", "opacity": "opacity_mean"}
INPUT = PreprocessingSpec(height=176, width=176)
# Those that shipped models of radiographs, and commissioning, put their last layers on.
LAYERS = ("block_3_bn1_relu6", "block_11_bn0_relu6", "block_11_bn2")
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
# A head that reads brightness alone loses the order where every image has another tone.
TONES = ("brighter", "darker", "flatter", "harder")
SEED = 0
Masks = NDArray[np.bool_]


def measure_severity(data: Path, weights: str, segment: Segment) -> tuple[Metric, ...]:
    """Measure how well the expert scores of patients are predicted from those of all others.

    Args:
        data: The folder of covid-chestxray-dataset, or the one above it.
        weights: Of EfficientNet-Lite0, as ``ModelConfig`` names them.
        segment: Draws the lungs.

    Returns:
        Spearman's rank correlation of each score, -1 to 1, with its 95 % interval: from the
        features, and from mean and spread of the lungs' gray alone; of the images as they are, and
        of the same with a tone curve each that the regression was not fitted with.

    Raises:
        DataError: The scores are not there.
        RecipeError: The weights cannot be had.
        ImageError: A scored image cannot be read.
    """
    table = read_severity_scores(data)
    images = np.stack([read_input(path, INPUT) for path in table["path"]])
    masks = segment(images)
    seen = masks.any(axis=(1, 2))
    table, images, masks = table[seen], images[seen], masks[seen]
    mixed = [TONES[number % len(TONES)] for number in range(len(images))]
    toned = np.concatenate([shifted(images[[n]], tone) for n, tone in enumerate(mixed)])
    plain, changed = (
        {"features": lung_features(some, masks, weights), "gray": [gray(some, masks)]}
        for some in (images, toned)
    )
    patients, found = table["patient"].to_numpy(str), []
    for score, name in product(SCORES, plain):
        truth = table[score].to_numpy(np.float64)
        for shown, words in ((plain, "as it is"), (changed, "tones mixed")):
            predicted = out_of_fold(plain[name], truth, patients, shown[name])
            figure = f"{score} from {name}, {words}"
            found.append(rank_correlation(figure, predicted, truth, patients))
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


def lung_features(images: Images, masks: Masks, weights: str) -> list[Floats]:
    """Average the features of each layer over the lungs.

    Args:
        images: uint8, shape (images, 176, 176, 1).
        masks: Their lungs, bool, shape (images, 176, 176); each has some.
        weights: Of EfficientNet-Lite0, as ``ModelConfig`` names them.

    Returns:
        For each of ``LAYERS`` shape (images, channels).
    """
    config = ModelConfig(
        backbone="efficientnetlite0", weights=weights, dropout=0, standardisation="imagenet"
    )
    image = keras.Input((*INPUT.size, 1), dtype="uint8")
    network = build_backbone((*INPUT.size, 3), config, with_weights=True)
    trunk = keras.Model(network.input, [network.get_layer(name).output for name in LAYERS])
    standardised = build_standardisation(config)(image)
    maps = keras.Model(image, trunk(standardised)).predict(images, verbose=0)
    return [_averaged(features, masks) for features in maps]


def gray(images: Images, masks: Masks) -> Floats:
    """Mean and spread of the lungs' gray levels, shape (images, 2); arguments as above."""
    lungs = [image[mask] for image, mask in zip(images[..., 0], masks, strict=True)]
    return np.array([[lung.mean(), lung.std()] for lung in lungs])


def out_of_fold(
    rivals: Sequence[Floats], truth: Floats, patients: NDArray[np.str_], shown: Sequence[Floats]
) -> Floats:
    """Predict each patient's scores by the regression that the others choose and fit.

    Args:
        rivals: Features of which one is chosen, shape (images, features) each.
        truth: The scores, shape (images,).
        patients: The patient of each image, shape (images,), at least three in all.
        shown: What is predicted from, as ``rivals``: of the same images, perhaps changed.

    Returns:
        Shape (images,).
    """
    predicted = np.empty(len(truth))
    for train, test in LeaveOneGroupOut().split(truth, groups=patients):
        searches = [
            GridSearchCV(
                make_pipeline(StandardScaler(), Ridge()),
                {"ridge__alpha": PENALTIES},
                scoring="neg_mean_squared_error",
                cv=LeaveOneGroupOut(),
            ).fit(features[train], truth[train], groups=patients[train])
            for features in rivals
        ]
        best = int(np.argmax([search.best_score_ for search in searches]))
        predicted[test] = searches[best].predict(shown[best][test])
    return predicted


def rank_correlation(
    name: str, predicted: Floats, truth: Floats, patients: NDArray[np.str_]
) -> Metric:
    """Spearman's rank correlation, -1 to 1, with its 95 % interval over draws of patients.

    Args:
        name: Of the figure.
        predicted: Shape (images,).
        truth: Shape (images,).
        patients: The patient of each image, shape (images,).
    """
    draws = patient_bootstrap(patients, SEED).astype(np.int64)
    rows = [np.repeat(np.arange(len(truth)), draw) for draw in draws]
    with warnings.catch_warnings():
        # Of a draw in which all are alike the correlation is not a number.
        warnings.simplefilter("ignore", ConstantInputWarning)
        value = spearmanr(predicted, truth).statistic
        drawn = [spearmanr(predicted[row], truth[row]).statistic for row in rows]
    figure = estimate(np.array([value]), np.array(drawn))._asdict()
    return Metric(dataset="scored radiographs", name=name, images=len(truth), **figure)


def _averaged(maps: NDArray[np.float32], masks: Masks) -> Floats:
    """The mean over the lungs, which may take a part of a cell."""
    shares = np.stack([resize(mask.astype(np.float32), maps.shape[1:3]) for mask in masks])
    total = shares.sum(axis=(1, 2), dtype=np.float64)
    return np.einsum("irc,ircf->if", shares, maps) / total[:, np.newaxis]
