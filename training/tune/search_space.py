"""Which values of a recipe are tried, and the recipe that some of them make."""

from collections.abc import Iterator, Mapping

from keras_tuner import HyperParameters

from training.backbones import OWN
from training.config import Recipe
from training.errors import RecipeError
from training.models import build_classifier

Value = float | int | str
Values = Mapping[str, Value]

DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
WEIGHT_DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
LABEL_SMOOTHINGS = (0.0, 0.02, 0.05, 0.1)
STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5)
STANDARDISATIONS = ("fixed", "image", "local", "image+local")
WIDTH_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
# So many steps of half an octave to both sides: finer ones no training can tell apart.
LEARNING_RATE_STEPS = 6
LEARNING_RATE_STEP = 2**0.5
# A feature map has a cell for so many pixels, or for a part or a multiple of them.
CELL = 16
LARGEST_BORDER = 1 / 6


def search_space(recipe: Recipe) -> HyperParameters:
    """The values to try for a recipe.

    Its own are always among them, and are the defaults. Each name is the place in the recipe.
    Weights that the network starts with were learnt with one standardisation and one width, so both
    stay; the width is of the backbones of our own alone. Every combination is a valid recipe.

    Raises:
        RecipeError: The recipe's own network cannot be built.
    """
    model, training = recipe.model, recipe.training
    space = HyperParameters()
    _floats(space, "model.dropout", DROPOUTS, model.dropout)
    _floats(space, "training.weight_decay", WEIGHT_DECAYS, training.weight_decay)
    _floats(space, "training.label_smoothing", LABEL_SMOOTHINGS, training.label_smoothing)
    _floats(space, "augmentation.strength", STRENGTHS, recipe.augmentation.strength)
    _floats(space, "training.learning_rate", _rates(recipe), training.learning_rate)
    space.Choice("model.border", list(_borders(recipe)), ordered=True, default=model.border)
    if model.weights == "none":
        modes = [*dict.fromkeys((*STANDARDISATIONS, model.standardisation))]
        space.Choice("model.standardisation", modes, default=model.standardisation)
        if model.backbone in OWN:
            widths = {max(1, round(factor * model.width)) for factor in WIDTH_FACTORS}
            space.Choice("model.width", sorted(widths), ordered=True, default=model.width)
    return space


def with_values(recipe: Recipe, values: Values) -> Recipe:
    """The recipe with some of its values replaced.

    Args:
        recipe: The recipe.
        values: By their place in the recipe, as ``search_space`` names them.
    """
    content = recipe.model_dump()
    for place, value in values.items():
        part, name = place.split(".")
        content[part][name] = value
    return Recipe.model_validate(content)


def for_trials(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe as a trial runs it: one network, so many epochs, its stages as long in proportion.

    Args:
        recipe: The recipe.
        epochs: At least 1.
    """
    content = recipe.model_dump()
    training = content["training"]
    part = epochs / training["epochs"]
    training |= {"epochs": epochs, "members": 1, "warmup_epochs": training["warmup_epochs"] * part}
    if training["fine_tuning"] is not None:
        training["fine_tuning"]["head_epochs"] = int(training["fine_tuning"]["head_epochs"] * part)
    return Recipe.model_validate(content)


def _floats(space: HyperParameters, place: str, values: tuple[float, ...], own: float) -> None:
    space.Choice(place, sorted({*values, own}), ordered=True, default=own)


def _rates(recipe: Recipe) -> tuple[float, ...]:
    """Lower and higher learning rates, rounded so that they read well in a recipe."""
    steps = [step for step in range(-LEARNING_RATE_STEPS, LEARNING_RATE_STEPS + 1) if step]
    own = recipe.training.learning_rate
    return tuple(float(f"{own * LEARNING_RATE_STEP**step:.3g}") for step in steps)


def _borders(recipe: Recipe) -> Iterator[int]:
    """No border, or a multiple of the cells of the feature map, as far as the network allows."""
    largest = int(LARGEST_BORDER * min(recipe.preprocessing.size))
    own = recipe.model.border
    for border in sorted({*range(0, largest + 1, CELL), own}):
        try:
            build_classifier(with_values(recipe, {"model.border": border}))
        except RecipeError:
            if border == own:
                raise
            continue
        yield border
