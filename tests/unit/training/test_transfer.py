from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training_data import tiny_recipe
from training.backbones import load_backbone_weights
from training.config import Recipe
from training.errors import RecipeError
from training.models import build_classifier

SIDE = 32


def recipe(backbone: str = "cnn3", weights: object = "none", **model: object) -> Recipe:
    return tiny_recipe(model={"backbone": backbone, "weights": str(weights), "width": 2, **model})


def with_weights(wanted: Recipe) -> keras.Model:
    model = build_classifier(wanted)
    load_backbone_weights(model, wanted.model)
    return model


def assert_same_backbone(model: keras.Model, donor: keras.Model) -> None:
    backbone = model.get_layer("backbone")
    for one, other in zip(backbone.get_weights(), donor.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    keras.utils.set_random_seed(5)
    return keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )


def test_an_earlier_training_gives_its_backbone_and_keeps_its_head(tmp_path: Path) -> None:
    earlier = build_classifier(recipe())
    earlier.save(tmp_path / "model.keras")

    model = with_weights(recipe(weights=tmp_path / "model.keras"))

    assert_same_backbone(model, earlier.get_layer("backbone"))
    heads = [one.get_layer("evidence").get_weights()[0] for one in (earlier, model)]
    assert not np.allclose(*heads)


def test_the_first_shipped_models_had_no_backbone_of_their_own(tmp_path: Path) -> None:
    inside = build_classifier(recipe())
    image, standardised, backbone, *rest = inside.layers
    features = standardised.output
    for layer in [*backbone.layers[1:], *rest]:
        features = layer(features)
    keras.Model(image.output, features).save(tmp_path / "model.keras")

    model = with_weights(recipe(weights=tmp_path / "model.keras"))

    assert_same_backbone(model, backbone)


@pytest.mark.parametrize("name", ["mobilenet.weights.h5", "mobilenet.h5"])
def test_a_file_of_keras_applications_is_read(
    name: str, mobilenet: keras.Model, tmp_path: Path
) -> None:
    file = tmp_path / name
    if name.endswith(".weights.h5"):
        mobilenet.save_weights(file)
    else:
        mobilenet.save(file)

    model = with_weights(recipe("mobilenetv2", file))

    assert_same_backbone(model, mobilenet)


def test_a_file_of_another_application_is_refused(mobilenet: keras.Model, tmp_path: Path) -> None:
    mobilenet.save_weights(tmp_path / "mobilenet.weights.h5")

    with pytest.raises(RecipeError, match=r"no weights for vgg16 without its top: .*block1_conv1"):
        with_weights(recipe("vgg16", tmp_path / "mobilenet.weights.h5"))
    with pytest.raises(RecipeError, match=r"takes the model\.keras of an earlier training"):
        with_weights(recipe("compact", tmp_path / "mobilenet.weights.h5"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 3}, r"width 3, .*: array 1 is \(5, 5, 1, 2\), and \(5, 5, 1, 3\) is needed"),
        ({"standardisation": "image+local"}, r"standardisation image\+local\): array 1 "),
        ({"backbone": "compact"}, r"\(compact, "),
    ],
)
def test_a_training_with_another_backbone_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    build_classifier(recipe()).save(tmp_path / "model.keras")

    with pytest.raises(RecipeError, match=message):
        with_weights(recipe(**{"weights": tmp_path / "model.keras", **changes}))


@pytest.mark.parametrize("name", ["damaged.keras", "damaged.weights.h5", "damaged.h5"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"half of it")

    with pytest.raises(RecipeError, match="has no weights for mobilenetv2"):
        with_weights(recipe("mobilenetv2", tmp_path / name))


def test_without_a_network_the_message_says_which_file_to_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    with pytest.raises(RecipeError, match=r"https://.*mobilenet_v2.*no_top\.h5.*--weights PATH"):
        with_weights(recipe("mobilenetv2", "imagenet"))


def test_our_own_backbones_have_no_weights_of_imagenet() -> None:
    with pytest.raises(RecipeError, match="no weights of ImageNet for cnn3"):
        with_weights(recipe(weights="imagenet"))


@pytest.mark.data
def test_the_weights_of_imagenet_see_edges(data_dir: Path) -> None:
    file = data_dir / "weights" / "mobilenet_v2_1.0_224_imagenet_notop.weights.h5"

    backbone = with_weights(recipe("mobilenetv2", file)).get_layer("backbone")

    kernel, *_ = backbone.get_weights()
    # A filter that has learnt to see edges is smooth: neighbours go together, far more than in a
    # random draw.
    neighbours = np.corrcoef(kernel[:-1].ravel(), kernel[1:].ravel())[0, 1]
    assert neighbours > 0.2
