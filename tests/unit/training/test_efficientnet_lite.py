from pathlib import Path

import keras
import numpy as np
import pytest

from training.efficientnet_lite import COMMISSIONING_LAYER, efficientnet_lite0

SHAPE = (64, 64, 3)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return efficientnet_lite0(input_shape=SHAPE)


def test_the_network_has_the_size_of_the_published_one(network: keras.Model) -> None:
    assert network.output_shape == (None, 2, 2, 1280)
    assert network.get_layer(COMMISSIONING_LAYER).output.shape == (None, 2, 2, 192)
    # 4,652,008 with the classifier of 1,000 classes, less its 1,281,000.
    assert network.count_params() - _moving_statistics(network) == 3_371_008


def test_weights_of_every_layer_are_read(network: keras.Model, tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    _write_weights(file, network)

    filled = efficientnet_lite0(input_shape=SHAPE, weights=file)

    kernel = filled.get_layer("block_3_depthwise_conv").get_weights()[0]
    assert kernel.shape == (5, 5, 144, 1)
    with np.load(file) as saved:
        expected = saved["_blocks.3._depthwise_conv.weight"]
        np.testing.assert_array_equal(kernel[..., 0].transpose(2, 0, 1), expected[:, 0])
        stem = filled.get_layer("stem_conv").get_weights()[0]
        np.testing.assert_array_equal(stem.transpose(3, 2, 0, 1), saved["_conv_stem.weight"])


def _moving_statistics(network: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in network.non_trainable_weights)


def _write_weights(file: Path, network: keras.Model) -> None:
    """Random weights in PyTorch's names and layouts."""
    random, weights = np.random.default_rng(0), {}
    ends = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
    }
    for layer in network.layers:
        if not layer.weights:
            continue
        name = ends.get(layer.name) or "_blocks.{1}._{2}".format(*layer.name.split("_", 2))
        if layer.name.endswith(("bn", "bn0", "bn1", "bn2")):
            for part in ("weight", "bias", "running_mean", "running_var"):
                weights[f"{name}.{part}"] = random.random(layer.weights[0].shape, np.float32)
        else:
            height, width, inputs, outputs = layer.weights[0].shape
            shape = (inputs, 1) if "depthwise" in layer.name else (outputs, inputs)
            weights[f"{name}.weight"] = random.random((*shape, height, width), np.float32)
    np.savez(file, **weights)
