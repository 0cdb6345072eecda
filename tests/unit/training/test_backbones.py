import keras
import numpy as np
import pytest

from tests.training_data import tiny_recipe
from training.backbones import build_backbone, build_standardisation
from training.config import ModelConfig
from training.errors import RecipeError
from training.models import build_classifier

GRAYS = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 1), dtype=np.uint8)


def config(**model: object) -> ModelConfig:
    return tiny_recipe(model=model).model


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [
        ("compact", (None, 4, 4, 24)),
        ("cnn3", (None, 2, 2, 16)),
        ("mobilenetv2", (None, 2, 2, 1280)),
    ],
)
def test_a_backbone_gives_a_map_of_features(
    backbone: str, shape: tuple[int | None, int, int, int]
) -> None:
    assert build_backbone((64, 64, 3), config(backbone=backbone)).output.shape == shape


def test_the_three_layers_of_cnn3_follow_the_width() -> None:
    backbone = build_backbone((64, 64, 1), config(backbone="cnn3", width=5))

    convolutions = [x for x in backbone.layers if isinstance(x, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [5, 10, 20]
    assert sum(isinstance(x, keras.layers.MaxPooling2D) for x in backbone.layers) == 3


def test_images_too_small_for_a_backbone_are_refused_by_name() -> None:
    recipe = tiny_recipe(model={"backbone": "xception"}, preprocessing={"height": 64, "width": 64})

    with pytest.raises(RecipeError, match="xception cannot take images of 64 by 64 pixels"):
        build_classifier(recipe)


def test_our_own_backbones_know_no_standardisation_of_imagenet() -> None:
    with pytest.raises(RecipeError, match="which compact knows nothing of"):
        build_standardisation(config(backbone="compact", standardisation="imagenet"))


@pytest.mark.parametrize(("backbone", "channels"), [("compact", 2), ("vgg16", 3)])
def test_a_backbone_gets_the_channels_that_it_takes(backbone: str, channels: int) -> None:
    layer = build_standardisation(config(backbone=backbone, standardisation="image+local"))

    assert layer(GRAYS).shape == (4, 64, 64, channels)
