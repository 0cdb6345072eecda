from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training_data import tiny_recipe
from training.backbones import build_backbone
from training.config import ModelConfig
from training.errors import RecipeError
from training.models import build_classifier

SIDE = 32


def config(**model: object) -> ModelConfig:
    return tiny_recipe(model=model).model


def with_weights(backbone: str, weights: object) -> keras.Model:
    recipe = tiny_recipe(model={"backbone": backbone, "weights": str(weights)})
    return build_classifier(recipe, with_weights=True).get_layer("backbone")


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    keras.utils.set_random_seed(5)
    return keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )


@pytest.mark.parametrize(
    ("backbone", "features"),
    [("compact", (4, 4, 24)), ("cnn3", (2, 2, 16)), ("mobilenetv2", (2, 2, 1280))],
)
def test_a_backbone_gives_a_map_of_features(backbone: str, features: tuple[int, ...]) -> None:
    output = build_backbone((64, 64, 3), config(backbone=backbone)).output

    assert output.shape == (None, *features)


@pytest.mark.parametrize("name", ["mobilenet.weights.h5", "mobilenet.h5"])
def test_a_file_of_keras_applications_is_read(
    name: str, mobilenet: keras.Model, tmp_path: Path
) -> None:
    file = tmp_path / name
    if name.endswith(".weights.h5"):
        mobilenet.save_weights(file)
    else:
        mobilenet.save(file)

    backbone = with_weights("mobilenetv2", file)

    for one, other in zip(backbone.get_weights(), mobilenet.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_that_cannot_be_used_are_refused(mobilenet: keras.Model, tmp_path: Path) -> None:
    file = tmp_path / "mobilenet.weights.h5"
    mobilenet.save_weights(file)
    (tmp_path / "damaged.weights.h5").write_bytes(b"half of it")

    with pytest.raises(RecipeError, match=r"with the weights .*damaged"):
        with_weights("mobilenetv2", tmp_path / "damaged.weights.h5")
    with pytest.raises(RecipeError, match=r"efficientnetlite0 cannot be built .*with the weights"):
        with_weights("efficientnetlite0", file)
    with pytest.raises(RecipeError, match="no place to download them"):
        with_weights("efficientnetlite0", "imagenet")


def test_without_a_network_the_message_says_which_file_to_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    with pytest.raises(RecipeError, match=r"https://.*mobilenet_v2.*no_top\.h5.*--weights PATH"):
        with_weights("mobilenetv2", "imagenet")


@pytest.mark.data
def test_the_weights_of_imagenet_see_edges(data_dir: Path) -> None:
    file = data_dir / "weights" / "mobilenet_v2_1.0_224_imagenet_notop.weights.h5"

    kernel, *_ = with_weights("mobilenetv2", file).get_weights()

    # A filter that has learnt to see edges is smooth: neighbours go together, far more than in a
    # random draw.
    neighbours = np.corrcoef(kernel[:-1].ravel(), kernel[1:].ravel())[0, 1]
    assert neighbours > 0.2
