"""Can a model's heatmaps be trusted: do they point into the lungs, and do they depend on the model?

Source: Zhang 2018, Top-Down Neural Attention by Excitation Backprop (the pointing game); Adebayo
2018, Sanity Checks for Saliency Maps; Saporta 2022, Benchmarking Saliency Methods for Chest X-ray
Interpretation.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.lungs import fit_map
from training.metrics import Estimate, Floats, estimate, patient_bootstrap, ratio, whole
from training.rank_correlation import rank_correlation

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Maps = NDArray[np.float32]
Predict = Callable[[Images], Mapping[str, NDArray[np.float32]]]
Part = Literal["head", "all"]

# One shuffle may by chance look like the trained weights; several do not.
SHUFFLES = 5


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PointingFigures(_Frozen):
    """Where the activation of one finding lies, averaged over ``images`` whose map has some.

    ``inside`` is the share of the positive activation that lies in the lungs; ``pointing`` the
    share of images whose strongest place does.
    """

    inside: Estimate
    pointing: Estimate
    images: int


class HeatmapTrust(_Frozen):
    """``area`` is what an even map would get: the share of the image that is lung.

    ``lungs_only`` is measured with all but the lungs covered.
    """

    area: Estimate
    whole_image: PointingFigures
    lungs_only: PointingFigures


class SanityCheck(_Frozen):
    """How alike the maps of the trained and of a shuffled network are, as absolute correlation.

    1 would say that the map does not depend on the weights. ``head`` has only the last layer's
    weights shuffled, ``all`` those of every layer.
    """

    head: Estimate
    all: Estimate
    images: int


def heatmap_trust(
    predict: Predict,
    images: Images,
    masks: Masks,
    patients: NDArray[np.str_],
    *,
    finding: int,
    seed: int,
) -> HeatmapTrust:
    """Measure how much of a finding's activation lies in the lungs.

    Args:
        predict: From images to the outputs of the service.
        images: uint8, shape (images, height, width, 1).
        masks: Lungs, bool, shape (images, height, width); none may be empty.
        patients: The patient of each image, shape (images,).
        finding: The position of the class among the outputs.
        seed: Of the bootstrap.
    """
    draws = patient_bootstrap(patients, seed)

    def measured(shown: Images) -> PointingFigures:
        maps = predict(shown)["activation_map"][..., finding]
        inside = activation_inside(maps, masks)
        return PointingFigures(
            inside=_mean(inside, draws),
            pointing=_mean(points_inside(maps, masks), draws),
            images=int(np.isfinite(inside).sum()),
        )

    return HeatmapTrust(
        area=_mean(masks.mean(axis=(1, 2)), draws),
        whole_image=measured(images),
        lungs_only=measured(lungs_alone(images, masks)),
    )


def sanity_check(
    model: keras.Model,
    images: Images,
    patients: NDArray[np.str_],
    *,
    maps_of: Callable[[keras.Model, Images], Maps],
    seed: int,
) -> SanityCheck:
    """Measure how alike the maps stay when the weights are shuffled.

    Args:
        model: A trained network; it is not changed.
        images: uint8, shape (images, height, width, 1).
        patients: The patient of each image, shape (images,).
        maps_of: From such a network and images to one finding's maps, float32, shape (images, rows,
            columns).
        seed: Of the shuffles and the bootstrap.
    """
    draws = patient_bootstrap(patients, seed)
    trained = maps_of(model, images)

    def measured(part: Part) -> Estimate:
        alike = [
            np.abs(map_similarity(trained, maps_of(shuffled(model, part, seed + turn), images)))
            for turn in range(SHUFFLES)
        ]
        return _mean(np.nan_to_num(np.array(alike)).mean(axis=0), draws)

    return SanityCheck(head=measured("head"), all=measured("all"), images=len(images))


def activation_inside(maps: Maps, masks: Masks) -> Floats:
    """The share of each map's positive activation that lies inside the mask.

    Args:
        maps: float32, shape (images, rows, columns).
        masks: bool, shape (images, height, width).

    Returns:
        Shape (images,), 0 to 1; not a number where nothing is positive.
    """
    positive = np.maximum(_fitted(maps, masks), 0)
    return ratio((positive * masks).sum(axis=(1, 2)), positive.sum(axis=(1, 2)))


def points_inside(maps: Maps, masks: Masks) -> Floats:
    """Whether each map is strongest inside the mask.

    Args:
        maps: float32, shape (images, rows, columns).
        masks: bool, shape (images, height, width).

    Returns:
        Shape (images,), 0 or 1; not a number where nothing is positive.
    """
    fitted = _fitted(maps, masks).reshape(len(maps), -1)
    inside = masks.reshape(len(masks), -1)
    hits = inside[np.arange(len(maps)), fitted.argmax(axis=1)].astype(np.float64)
    return np.where(fitted.max(axis=1) > 0, hits, np.nan)


def lungs_alone(images: Images, masks: Masks) -> Images:
    """Cover all but the lungs with one gray: the mean of what is covered.

    Args:
        images: uint8, shape (images, height, width, 1).
        masks: bool, shape (images, height, width).

    Returns:
        A new array of the same shape.
    """
    planes = images[..., 0]
    outside = ~masks
    total = outside.sum(axis=(1, 2))
    means = (planes * outside).sum(axis=(1, 2)) / np.maximum(total, 1)
    gray = np.rint(means).astype(np.uint8)[:, np.newaxis, np.newaxis]
    return np.where(masks, planes, gray)[..., np.newaxis]


def map_similarity(first: Maps, second: Maps) -> Floats:
    """Spearman's rank correlation of each pair of maps.

    Args:
        first: float32, shape (images, rows, columns).
        second: float32, the same shape.

    Returns:
        Shape (images,), -1 to 1; not a number where a map is constant.
    """
    return np.array(
        [rank_correlation(a.ravel(), b.ravel()) for a, b in zip(first, second, strict=True)]
    )


def shuffled(model: keras.Model, part: Part, seed: int) -> keras.Model:
    """A copy of a network in which the values of each weight array stand in random order.

    The weights keep their distribution, so the maps keep their range; only what was learnt is gone.

    Args:
        model: Any functional model; it is not changed.
        part: ``head`` shuffles the last layer that has weights, ``all`` every one.
        seed: Of the order.
    """
    random = np.random.default_rng(seed)
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    layers = [layer for layer in other.layers if layer.weights]
    for layer in layers[-1:] if part == "head" else layers:
        weights = layer.get_weights()
        layer.set_weights([random.permutation(w.ravel()).reshape(w.shape) for w in weights])
    return other


def _fitted(maps: Maps, masks: Masks) -> NDArray[np.float32]:
    return np.stack([fit_map(plane, masks.shape[1:3]) for plane in maps])


def _mean(values: Floats, draws: Floats) -> Estimate:
    """The mean over images with its interval; what is not a number is left out."""
    usable = np.isfinite(values)

    def over(weights: Floats) -> Floats:
        counted = weights[:, usable]
        return ratio(counted @ values[usable], counted.sum(axis=1))

    return estimate(over(whole(len(values))), over(draws))
