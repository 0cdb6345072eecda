"""The state of a running training of the segmenter, in one file that is whole or not there."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.atomic import atomic_path
from training.errors import WorkdirIncomplete


class LungEpoch(BaseModel):
    """What one epoch gave; the validation figure is that of the averaged weights."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    loss: float
    validation_dice: float
    seconds: float


class LungState(BaseModel):
    """How far a training is."""

    model_config = ConfigDict(frozen=True)

    history: tuple[LungEpoch, ...] = ()


def save_checkpoint(path: Path, model: keras.Model, state: LungState) -> None:
    """Keep a compiled model, with its optimizer, as it is after an epoch.

    Raises:
        WriteFailed: The disk is full, or the folder cannot be written.
    """
    arrays = {
        f"variable-{number:04d}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(_variables(model))
    }
    with atomic_path(path) as draft:
        np.savez(draft, state=np.array(state.model_dump_json()), **arrays)


def restore_checkpoint(path: Path, model: keras.Model) -> LungState:
    """Bring a compiled model to where the last checkpoint left it, if there is one.

    Raises:
        WorkdirIncomplete: The checkpoint cannot be read, or is of another network.
    """
    if not path.exists():
        return LungState()
    try:
        with path.open("rb") as file, np.load(file) as content:
            arrays = [content[name] for name in content.files if name != "state"]
            state = LungState.model_validate_json(str(content["state"]))
        _assign(_variables(model), arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WorkdirIncomplete(
            f"{path} cannot be used: {error}. Remove it to start this training again."
        ) from error
    return state


def _variables(model: keras.Model) -> Sequence[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def _assign(variables: Sequence[keras.Variable], arrays: list[NDArray[np.generic]]) -> None:
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise ValueError("it is of another network")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
