"""From uint8 gray to what a network likes, inside the graph, so that serving cannot differ."""

from typing import Any, Literal

import keras
from keras import ops

Mode = Literal["fixed", "image", "local"]

# Added to the variances, in squared gray levels and in squared standard deviations: an empty or
# nearly even area must not have its noise blown up.
IMAGE_VARIANCE_FLOOR = 16.0
LOCAL_VARIANCE_FLOOR = 0.05


@keras.saving.register_keras_serializable(package="pneumoscope")
class Standardisation(keras.layers.Layer):
    """Take exposure out of a radiograph.

    ``fixed`` maps 0..255 to -1..1, as networks trained on ImageNet expect. ``image`` gives each
    image mean 0 and variance 1. ``local`` does so again in a window around each pixel, whose side
    is a share of the image's height (local contrast normalisation, Jarrett 2009). ``channels``
    says how many equal channels to give; one where None.
    """

    def __init__(
        self,
        mode: Mode,
        local_window: float,
        channels: int | None = None,
        **kwargs: Any,  # noqa: ANN401 - Keras's own signature
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.local_window = local_window
        self.channels = channels

    def call(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Standardise uint8 (batch, height, width, 1) to float (batch, height, width, channels)."""
        level = ops.cast(image, self.compute_dtype)
        if self.mode == "fixed":
            plane = level / 127.5 - 1
        else:
            centred = level - ops.mean(level, axis=(1, 2, 3), keepdims=True)
            variance = ops.mean(centred * centred, axis=(1, 2, 3), keepdims=True)
            plane = centred / ops.sqrt(variance + IMAGE_VARIANCE_FLOOR)
        if self.mode == "local":
            # An odd number of pixels, so that the window has a middle.
            window = max(3, round(self.local_window * level.shape[1]) | 1)
            plane = _locally_standardised(plane, window)
        return ops.concatenate([plane] * self.channels, axis=-1) if self.channels else plane

    def get_config(self) -> dict[str, object]:
        """What Keras saves of the layer."""
        return {
            **super().get_config(),
            "mode": self.mode,
            "local_window": self.local_window,
            "channels": self.channels,
        }


def _locally_standardised(whole: keras.KerasTensor, window: int) -> keras.KerasTensor:
    centred = whole - _box_mean(whole, window)
    # The way through a shape without a channel changes no value; without it the ONNX converter
    # leaves a layout change between the two means.
    plane = ops.squeeze(centred, axis=-1)
    variance = _box_mean(ops.expand_dims(ops.square(plane), axis=-1), window)
    return centred / ops.sqrt(variance + LOCAL_VARIANCE_FLOOR)


def _box_mean(x: keras.KerasTensor, window: int) -> keras.KerasTensor:
    """The mean over a square window: columns, then rows, which costs 2 n instead of n squared."""
    columns = ops.average_pool(x, (window, 1), strides=1, padding="same")
    return ops.average_pool(columns, (1, window), strides=1, padding="same")
