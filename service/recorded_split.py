"""The best split of the CPUs, as it was measured once, in a file that every later start uses."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidConfiguration
from service.settings import Settings


class RecordedSplit(BaseModel):
    """What was fastest for one process: ``runs`` images at once, each with so many threads.

    ``cpus`` are those of the process, ``model`` is ``<name>/<version>``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: int = Field(ge=1)
    model: str
    runs: int = Field(ge=1)
    intra_op_threads: int = Field(ge=1)
    images_per_s: float = Field(gt=0)


def write_split(file: Path, split: RecordedSplit) -> None:
    """Write a record.

    Raises:
        InvalidConfiguration: The file cannot be written.
    """
    try:
        file.write_text(split.model_dump_json(indent=1) + "\n")
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
        return RecordedSplit.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidConfiguration(
            f"PNEUMO_THREAD_SPLIT_FILE: {file} cannot be read: {error.strerror}. {again}"
        ) from error
    except ValidationError as error:
        raise InvalidConfiguration(
            f"PNEUMO_THREAD_SPLIT_FILE: {file} is no record of a split. {again}"
        ) from error


def with_threads(settings: Settings, cpus: int, split: RecordedSplit | None) -> Settings:
    """Tell one process how many threads it has, wherever the settings do not say so themselves.

    Args:
        settings: Of the process.
        cpus: Those of the process.
        split: What was measured; used where ``why_unused`` has no objection.
    """
    threads = {"decode_workers": cpus, "inference_workers": cpus}
    if split is not None and why_unused(settings, cpus, split) is None:
        threads = {
            "decode_workers": split.runs,
            "inference_workers": split.runs,
            "intra_op_threads": split.intra_op_threads,
        }
    given = settings.model_fields_set
    return settings.model_copy(
        update={name: count for name, count in threads.items() if name not in given}
    )


def why_unused(settings: Settings, cpus: int, split: RecordedSplit) -> str | None:
    """Say why a record does not hold for a process; None where it does.

    Args:
        settings: Of the process.
        cpus: Those of the process.
        split: The record.
    """
    if split.cpus != cpus:
        return f"it was measured with {split.cpus} CPUs, and this process has {cpus}"
    if settings.provider != "cpu":
        return "it is for models on the CPU, and PNEUMO_PROVIDER is not cpu"
    if settings.engines:
        return "it is for threads, and PNEUMO_ENGINES has processes read the images"
    return None
