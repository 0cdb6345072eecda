"""The score itself: how far an image lies from the nearest group of training images."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.atomic import atomic_path
from training.errors import WorkdirIncomplete
from training.ood.descriptor import describe_image

Constants = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OodScorer:
    """The constants of the score, all float32.

    A network's features and an image's description, standardised by ``centre`` and ``scale``, shape
    (features + numbers,), are the ``numbers`` of the description behind the features' projection on
    ``components``, shape (features, components). ``means``, shape (groups, values), and
    ``whitening``, shape (groups, values, values), are each group's: in its whitened values the
    training images of a group lie around zero with variance one in every direction.
    """

    centre: Constants
    scale: Constants
    components: Constants
    means: Constants
    whitening: Constants

    @property
    def method(self) -> str:
        """The method in words, as the manifest gives it."""
        groups = "one group" if len(self.means) == 1 else f"the nearest of {len(self.means)} groups"
        return (
            f"Mahalanobis distance to {groups} of training images, in the network's features, a "
            "thumbnail, and the detail at each scale"
        )

    def score(self, features: keras.KerasTensor, image: keras.KerasTensor) -> keras.KerasTensor:
        """Score images, inside a graph or outside.

        Args:
            features: The network's pooled features, float32, shape (batch, features).
            image: uint8, shape (batch, height, width, 1).

        Returns:
            float32, shape (batch,), not negative: the distance per value in standard deviations.
            Images of the training lie around 1, stranger ones higher.
        """
        return self.distance(features, describe_image(image))

    def distance(
        self, features: keras.KerasTensor, numbers: keras.KerasTensor
    ) -> keras.KerasTensor:
        """The score of images that are described already.

        Args:
            features: float32, shape (batch, features).
            numbers: float32, shape (batch, numbers), of ``describe_image``.

        Returns:
            float32, shape (batch,).
        """
        groups, values = self.means.shape
        placed = self._placed(features, numbers)
        # All groups in one product; each has its columns.
        joint = np.concatenate(list(self.whitening), axis=1)
        origin = np.einsum("gv,gvw->gw", self.means, self.whitening).ravel()
        whitened = ops.reshape(ops.matmul(placed, joint) - origin, (-1, groups, values))
        return ops.sqrt(ops.min(ops.mean(ops.square(whitened), axis=-1), axis=-1))

    def _placed(self, features: keras.KerasTensor, numbers: keras.KerasTensor) -> keras.KerasTensor:
        count = len(self.components)
        known = (features - self.centre[:count]) / self.scale[:count]
        seen = (numbers - self.centre[count:]) / self.scale[count:]
        return ops.concatenate([ops.matmul(known, self.components), seen], axis=-1)

    def save(self, path: Path) -> None:
        """Write the constants into a file ``*.npz``, whole or not at all.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        with atomic_path(path) as draft:
            np.savez(draft, **asdict(self))


class OodScore(keras.layers.Layer):
    """A scorer as one node of a network. It is exported with the network, not saved with it.

    Args:
        scorer: The constants.
        **kwargs: Of every Keras layer.
    """

    def __init__(self, scorer: OodScorer, **kwargs: Any) -> None:  # noqa: ANN401 - Keras's own signature
        super().__init__(dtype="float32", **kwargs)
        self.scorer = scorer

    def call(self, features: keras.KerasTensor, image: keras.KerasTensor) -> keras.KerasTensor:
        """Score images; see ``OodScorer.score``."""
        return self.scorer.score(features, image)


def load_scorer(path: Path) -> OodScorer:
    """Read the constants that ``OodScorer.save`` has written.

    Raises:
        WorkdirIncomplete: The file is missing or damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return OodScorer(**{field.name: file[field.name] for field in fields(OodScorer)})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise WorkdirIncomplete(
            f"{path} cannot be read: {error}. Run pneumo-train fit again."
        ) from error
