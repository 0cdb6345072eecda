"""Networks of ``keras.applications``, without their tops and without their input standardisation.

Their weights of ImageNet come from Keras, or from a file in Keras's format.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import applications, layers

from training.standardisation import Mode

# The files of weights fit any input size; this one is at home in all of the networks.
DONOR_SIZE = (224, 224)


@dataclass(frozen=True, slots=True)
class Application:
    """A network of ``keras.applications``.

    ``standardisation`` is the arithmetic of the network's own ``preprocess_input``.
    ``stem`` names the first layer after an input standardisation that the network has inside; that
    is left out, as its constants would not follow the weights of a checkpoint. EfficientNet's adds
    up to the one that Torch uses (Source: tensorflow/tensorflow issue 49930).
    """

    constructor: Callable[..., keras.Model]
    standardisation: Mode
    stem: str | None = None

    def build(
        self, size: tuple[int, int], last_layer: str | None = None, weights: str | None = None
    ) -> keras.Model:
        """The network from three standardised channels to a feature map.

        Args:
            size: Height and width.
            last_layer: Whose output the feature map is; the network's own last one where None.
            weights: ``imagenet`` downloads those; None draws fresh ones.

        Raises:
            ValueError: The network takes no images of that size, or has no such layer.
        """
        return self._backbone(self._whole(size, weights), last_layer)

    def weights_from(self, file: Path, last_layer: str | None = None) -> keras.Model:
        """The network with the weights of a file in Keras's format: ``.weights.h5`` or ``.h5``.

        Args:
            file: Weights of the whole network without its top.
            last_layer: Whose output the feature map is; the network's own last one where None.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file is of another network.
        """
        whole = self._whole(DONOR_SIZE, None)
        whole.load_weights(file)
        return self._backbone(whole, last_layer)

    def _whole(self, size: tuple[int, int], weights: str | None) -> keras.Model:
        return self.constructor(include_top=False, weights=weights, input_shape=(*size, 3))

    def _backbone(self, whole: keras.Model, last_layer: str | None) -> keras.Model:
        start = whole.get_layer(self.stem).input if self.stem else whole.input
        end = whole.get_layer(last_layer).output if last_layer else whole.output
        return _with_kept_places(keras.Model(start, end, name="backbone"))


APPLICATIONS: dict[str, Application] = {
    "vgg16": Application(applications.VGG16, "caffe"),
    "resnet50": Application(applications.ResNet50, "caffe"),
    "xception": Application(applications.Xception, "fixed"),
    "inceptionv3": Application(applications.InceptionV3, "fixed"),
    "efficientnetb0": Application(applications.EfficientNetB0, "torch", stem="stem_conv_pad"),
    "mobilenetv2": Application(applications.MobileNetV2, "fixed"),
    "densenet121": Application(applications.DenseNet121, "torch"),
}


def _with_kept_places(network: keras.Model) -> keras.Model:
    """The network with averages over the image as maps of one cell.

    Those of squeeze and excitation lose their rows and columns and get them back at once. On that
    way the ONNX converter would leave a layout change in each block.
    """
    if not any(isinstance(layer, layers.GlobalAveragePooling2D) for layer in network.layers):
        return network
    kept = keras.models.clone_model(network, clone_function=_kept)
    kept.set_weights(network.get_weights())
    return kept


def _kept(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, layers.GlobalAveragePooling2D):
        return layers.GlobalAveragePooling2D(keepdims=True, name=layer.name)
    if isinstance(layer, layers.Reshape):
        return layers.Identity(name=layer.name)
    return layer.from_config(layer.get_config())
