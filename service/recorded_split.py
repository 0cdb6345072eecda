"""The best split of the CPUs, as it was measured once, in a file that every later start uses."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidConfiguration
from service.settings import Settings


class RecordedSplit(BaseModel):
    """What was fastest for one process: ``runs`` of a model at once, each with so many threads.

    ``cpus`` are those of the process that measured, ``model`` is ``<name>/<version>``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: int = Field(ge=1)
    model: str
    runs: int = Field(ge=1)
    intra_op_threads: int = Field(ge=1)
    images_per_s: float = Field(gt=0)


def write_split(file: Path, split: RecordedSplit) -> None:
    """Write a record, whole or not at all.

    Raises:
        InvalidConfiguration: The file cannot be written.
    """
    draft = file.with_name(f".{file.name}.draft")
    try:
        draft.write_text(json.dumps(split.model_dump(), indent=1) + "\n")
        draft.replace(file)
    except OSError as error:
        raise InvalidConfiguration(f"{file} cannot be written: {error.strerror}.") from error


def read_split(settings: Settings) -> RecordedSplit | None:
    """Read the record that the settings name; None where they name none.

    Raises:
        InvalidConfiguration: It cannot be read, or is no such record.
    """
    file = settings.thread_split_file
    if file is None:
        return None
    again = "Write it with: pneumo-serve threads --record."
    try:
        return RecordedSplit.model_validate_json(file.read_text())
    except OSError as error:
        raise InvalidConfiguration(
            f"PNEUMO_THREAD_SPLIT_FILE: {file} cannot be read: {error.strerror}. {again}"
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(
            f"PNEUMO_THREAD_SPLIT_FILE: {file} is no record of a split. {again}"
        ) from error


def with_threads(settings: Settings, cpus: int) -> Settings:
    """Tell one process how many threads it has, wherever the settings do not say so themselves.

    Args:
        settings: Of the process.
        cpus: Those of the process. A record for another number says nothing of it.

    Raises:
        InvalidConfiguration: The record that the settings name cannot be used.
    """
    split = read_split(settings)
    threads = {"decode_workers": cpus, "inference_workers": cpus}
    if split is not None and split.cpus == cpus:
        threads = {
            "decode_workers": split.runs,
            "inference_workers": split.runs,
            "intra_op_threads": split.intra_op_threads,
        }
    given = settings.model_fields_set
    return settings.model_copy(
        update={name: count for name, count in threads.items() if name not in given}
    )
