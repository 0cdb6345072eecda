"""The framework's start, its logging, its precision and its devices."""

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import AccelerationError

MIXED = "mixed_bfloat16"


def import_keras() -> None:
    """Import the framework without its log; TensorFlow greets on the standard error, even so."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Several networks in one process make it warn of tracing functions again, which is right.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module("keras")
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def accelerate(*, mixed_precision: bool, devices: int) -> None:
    """Decide how everything that is built from now on computes.

    Mixed precision keeps weights in float32 and computes in bfloat16, whose range is that of
    float32: no loss has to be scaled. The trained model computes in float32 again.

    Source: Kalamkar 2019, A Study of BFLOAT16 for Deep Learning Training.

    Args:
        mixed_precision: Whether to.
        devices: How many share each batch; 1 leaves the choice of one to Keras.

    Raises:
        AccelerationError: There are fewer devices, or Keras's backend cannot share a batch.
    """
    import keras

    if devices != 1:
        if keras.backend.backend() != "jax":
            raise AccelerationError(
                "Keras shares a batch over several devices under JAX alone, and its backend is "
                f"{keras.backend.backend()}: install jax and set KERAS_BACKEND=jax, or use one "
                "device."
            )
        found = keras.distribution.list_devices()
        if not 1 <= devices <= len(found):
            raise AccelerationError(
                f"{devices} devices were asked for, and JAX sees {len(found)}: {', '.join(found)}."
            )
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=found[:devices])
        )
    keras.config.set_dtype_policy(MIXED if mixed_precision else "float32")


@contextmanager
def full_precision() -> Iterator[None]:
    """Layers that are built within compute in float32, whatever the training computes in."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
