"""Faster arithmetic, and several devices at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from training.errors import AccelerationError

MIXED = "mixed_bfloat16"


def accelerate(*, mixed_precision: bool, devices: int) -> None:
    """Decide how everything that is built from now on computes.

    Mixed precision keeps weights in float32 and computes in bfloat16, whose range is that of
    float32: no loss has to be scaled, and a killed run resumes as any other. The model that a
    training ends with computes in float32 again.

    Source: Kalamkar 2019, A Study of BFLOAT16 for Deep Learning Training.

    Args:
        mixed_precision: Whether to.
        devices: How many share each batch; 1 leaves the choice of one to Keras.

    Raises:
        AccelerationError: There are fewer devices, or Keras's backend cannot share a batch.
    """
    if devices != 1:
        keras.distribution.set_distribution(_data_parallel(devices))
    keras.config.set_dtype_policy(MIXED if mixed_precision else "float32")


@contextmanager
def full_precision() -> Iterator[None]:
    """Layers that are built within compute in float32, whatever the training computes in."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _data_parallel(count: int) -> keras.distribution.DataParallel:
    """Copies of the network on the first devices, each with its part of every batch."""
    if keras.backend.backend() != "jax":
        raise AccelerationError(
            f"Keras shares a batch over several devices under JAX alone, and its backend is "
            f"{keras.backend.backend()}: install jax and set KERAS_BACKEND=jax, or use one device."
        )
    found = keras.distribution.list_devices()
    if not 1 <= count <= len(found):
        raise AccelerationError(
            f"{count} devices were asked for, and JAX sees {len(found)}: {', '.join(found)}."
        )
    return keras.distribution.DataParallel(devices=found[:count])
