"""The state of one running training, in one file that is either whole or not there."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.atomic import atomic_path
from training.errors import WorkdirIncomplete

Weights = list[NDArray[Any]]


class Epoch(BaseModel):
    """What one epoch gave; the validation figures are those of the averaged weights."""

    model_config = ConfigDict(frozen=True)

    member: int
    epoch: int
    loss: float
    validation_loss: float
    validation_auroc: float
    learning_rate: float
    seconds: float


class TrainingState(BaseModel):
    """How far a training is. ``best_epoch`` counts from 1, and is 0 before the first epoch."""

    model_config = ConfigDict(frozen=True)

    history: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    finished: bool = False

    @property
    def epochs_done(self) -> int:
        """The number of whole epochs."""
        return len(self.history)


class Checkpoints:
    """Reads and writes the checkpoints of one training in one folder.

    The state, the weights, the optimizer with its averaged weights and the dropout's random state
    are one file, replaced as a whole. The best weights have a file of their own per epoch, written
    before the state that names it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def state(self) -> TrainingState:
        """How far the training is; a fresh state where there is no checkpoint.

        Raises:
            WorkdirIncomplete: The checkpoint cannot be read.
        """
        if not self._checkpoint.exists():
            return TrainingState()
        with self._read_checkpoint() as content:
            return TrainingState.model_validate_json(str(content["state"]))

    def restore(self, model: keras.Model) -> None:
        """Bring a model to where the last checkpoint left it.

        Args:
            model: Compiled as it was when the checkpoint was made.

        Raises:
            WorkdirIncomplete: The checkpoint cannot be read, or is of another network.
        """
        with self._read_checkpoint() as content:
            arrays = [content[name] for name in content.files if name != "state"]
            _assign(_variables(model), arrays)

    def save(self, model: keras.Model, state: TrainingState) -> None:
        """Keep a compiled model as it is after an epoch, and drop best weights that are no more.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        arrays = {
            f"variable-{number:04d}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(_variables(model))
        }
        with atomic_path(self._checkpoint) as draft:
            np.savez(draft, state=np.array(state.model_dump_json()), **arrays)
        for path in self._folder.glob("best-*.npz"):
            if path != self._best(state.best_epoch):
                path.unlink()

    def save_best(self, weights: Weights, epoch: int) -> None:
        """Keep the weights that an epoch ended with.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        with atomic_path(self._best(epoch)) as draft:
            np.savez(draft, *weights)

    def load_best(self, state: TrainingState) -> Weights:
        """Read the best weights, in the order of ``model.get_weights()``.

        Raises:
            WorkdirIncomplete: There are none.
        """
        path = self._best(state.best_epoch)
        try:
            with path.open("rb") as file, np.load(file) as content:
                return [content[name] for name in content.files]
        except (OSError, zipfile.BadZipFile) as error:
            raise WorkdirIncomplete(f"{path} cannot be read. Train again.") from error

    @contextmanager
    def _read_checkpoint(self) -> Iterator[NpzFile]:
        try:
            with self._checkpoint.open("rb") as file, np.load(file) as content:
                yield content
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise WorkdirIncomplete(
                f"{self._checkpoint} cannot be used: {error}. "
                "Remove it to start this training again."
            ) from error

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.npz"

    def _best(self, epoch: int) -> Path:
        return self._folder / f"best-{epoch:04d}.npz"


def _variables(model: keras.Model) -> Sequence[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def _assign(variables: Sequence[keras.Variable], arrays: Weights) -> None:
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise ValueError("it is of another network")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
