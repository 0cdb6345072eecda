import keras
import pytest

from tests.training_data import tiny_recipe
from training.config import Recipe
from training.models import build_classifier
from training.optimisation import Stage, compile_for_training, learning_rate, stages

TUNING = {"head_epochs": 3, "head_learning_rate": 0.5, "share": 0.5}


def cnn3(weights: str = "none", **tuning: object) -> Recipe:
    return tiny_recipe(
        model={"backbone": "cnn3", "width": 2, "weights": weights},
        training={
            "epochs": 10,
            "warmup_epochs": 2,
            "learning_rate": 0.1,
            "initial_learning_rate": 0.1,
            "final_learning_rate": 0.01,
            **({"fine_tuning": {**TUNING, **tuning}} if tuning else {}),
        },
    )


def learning(recipe: Recipe, stage: Stage) -> list[str]:
    """The kinds of the layers of the backbone that learn, each with its number in its kind."""
    model = build_classifier(recipe)
    compile_for_training(model, recipe, stage, steps_per_epoch=5)
    layers = [layer for layer in model.get_layer("backbone").layers if layer.weights]
    names = ["conv 1", "norm 1", "conv 2", "norm 2", "conv 3", "norm 3"]
    assert model.get_layer("evidence").trainable_variables
    assert len(model.optimizer.variables) > 2 * len(model.trainable_variables)
    return [name for name, layer in zip(names, layers, strict=True) if layer.trainable_variables]


def test_the_learning_rate_rises_and_falls_to_its_end() -> None:
    config = tiny_recipe(
        training={
            "epochs": 10,
            "warmup_epochs": 2,
            "learning_rate": 0.1,
            "initial_learning_rate": 0.1,
            "final_learning_rate": 0.01,
        }
    ).training

    [stage] = stages(config)

    schedule = learning_rate(config, stage, steps_per_epoch=5)

    assert callable(schedule)
    rates = [float(schedule(step)) for step in (0, 5, 10, 30, 50)]
    assert rates == pytest.approx([0.01, 0.055, 0.1, 0.0505, 0.001], rel=1e-3)


def test_without_fine_tuning_everything_learns_at_once() -> None:
    recipe = cnn3()

    assert stages(recipe.training) == (Stage(0, 10, share=1),)
    assert len(learning(recipe, *stages(recipe.training))) == 6


def test_fine_tuning_begins_with_the_head_at_a_constant_rate() -> None:
    recipe = cnn3(share=0.5)

    head, tuned = stages(recipe.training)

    assert (head.start, head.end, tuned.start, tuned.end) == (0, 3, 3, 10)
    assert learning(recipe, head) == []
    assert learning_rate(recipe.training, head, steps_per_epoch=5) == 0.5


def test_then_the_last_layers_learn_and_the_rate_falls_to_the_end() -> None:
    recipe = cnn3(share=0.5)
    _, tuned = stages(recipe.training)

    schedule = learning_rate(recipe.training, tuned, steps_per_epoch=5)

    assert learning(recipe, tuned) == ["norm 2", "conv 3", "norm 3"]
    assert isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
    rates = [float(schedule(step)) for step in (0, 10, 35)]
    assert rates == pytest.approx([0.01, 0.1, 0.001], rel=1e-3)


def test_batch_normalisation_that_came_with_weights_is_kept() -> None:
    recipe = cnn3(weights="earlier/model.keras", share=0.5)

    assert learning(recipe, stages(recipe.training)[1]) == ["conv 3"]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.34, 2), (1.0, 6)])
def test_the_share_counts_layers_that_can_learn(share: float, count: int) -> None:
    recipe = cnn3(head_epochs=0, share=share)

    [stage] = stages(recipe.training)

    assert len(learning(recipe, stage)) == count
