"""What may be compared: a backbone, a whole recipe, or a classical learner."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from training.backbones import OWN
from training.baselines import BASELINES
from training.config import BackboneName, Recipe, read_recipe
from training.errors import RecipeError
from training.models import build_classifier

RECIPE_SUFFIX = ".toml"
BACKBONES: tuple[str, ...] = get_args(BackboneName)


@dataclass(frozen=True, slots=True)
class Network:
    """A network to train."""

    name: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Classical:
    """A classical learner, one of ``training.baselines.BASELINES``."""

    name: str


Candidate = Network | Classical


def choose_candidates(recipe: Recipe, names: Sequence[str]) -> tuple[Candidate, ...]:
    """Find what is meant by some names, and that every network can be built.

    Args:
        recipe: What is compared with: its data, its splits, and for a backbone all but the
            backbone.
        names: Each a backbone, the path of another recipe (``.toml``) with the same data and
            splits, or a classical learner. Without any, the recipe's own backbone and every
            classical learner.

    Raises:
        RecipeError: A name is unknown, a recipe has other data or splits, or a network cannot be
            built.
    """
    chosen = names or (recipe.model.backbone, *BASELINES)
    candidates = tuple(_candidate(recipe, name) for name in dict.fromkeys(chosen))
    folders = [candidate.name for candidate in candidates]
    if twice := sorted({name for name in folders if folders.count(name) > 1}):
        raise RecipeError(f"Two candidates are called {twice[0]}: give one recipe another name.")
    # Better now than after the hours that the networks before it take.
    for candidate in candidates:
        if isinstance(candidate, Network):
            _check_network(candidate)
    return candidates


def _candidate(recipe: Recipe, name: str) -> Candidate:
    if name in BASELINES:
        return Classical(name)
    if name in BACKBONES:
        return Network(name, with_backbone(recipe, name))
    if name.endswith(RECIPE_SUFFIX):
        other = read_recipe(name)
        _check_same_images(recipe, other)
        return Network(other.name, other)
    known = ", ".join((*BACKBONES, *BASELINES))
    raise RecipeError(
        f"There is no candidate {name!r}. Give the path of a recipe ({RECIPE_SUFFIX}), "
        f"or one of: {known}."
    )


def with_backbone(recipe: Recipe, backbone: str) -> Recipe:
    """The recipe with another backbone.

    A backbone of our own has no weights of ImageNet to start from, and none to fine-tune. A file of
    weights fits one backbone alone, so another one starts with fresh ones.
    """
    if backbone == recipe.model.backbone:
        return recipe
    model: dict[str, object] = {"backbone": backbone}
    training: dict[str, object] = {}
    if backbone in OWN or recipe.model.weights != "imagenet":
        model["weights"] = "none"
        training["fine_tuning"] = None
    if backbone in OWN and recipe.model.standardisation == "imagenet":
        model["standardisation"] = "image"
    changes = {
        "model": recipe.model.model_copy(update=model),
        "training": recipe.training.model_copy(update=training),
    }
    return recipe.model_copy(update=changes)


def _check_same_images(recipe: Recipe, other: Recipe) -> None:
    if (other.data, other.split) != (recipe.data, recipe.split):
        raise RecipeError(
            f"{other.name} has other data or splits than {recipe.name}: "
            "only recipes with the same [data] and [split] can be compared."
        )


def _check_network(network: Network) -> None:
    try:
        build_classifier(network.recipe)
    except RecipeError as error:
        raise RecipeError(f"{network.name} cannot be compared: {error}") from error
