"""Where a trained model comes from: revision, versions, data."""

import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import keras
import pandas as pd

from contract.manifest import Provenance
from training.datasets import Dataset


def provenance(
    recipe: str, dataset: Dataset, table: pd.DataFrame, digest: str, revision: str
) -> Provenance:
    """Say of a training that has just ended what it was made from.

    ``table`` has the images that were used, with their split; ``revision`` is ``git_revision`` when
    the training began, as the source may have changed since.
    """
    counts = table["split"].value_counts()
    return Provenance(
        recipe=recipe,
        dataset=dataset.name,
        licence=dataset.licence,
        training_images=int(counts["train"]),
        validation_images=int(counts["validation"]),
        data_digest=digest,
        git_revision=revision,
        framework=framework(),
        trained_at=datetime.now(UTC).replace(microsecond=0),
    )


def framework() -> str:
    """Keras and its backend, with their versions."""
    backend = keras.backend.backend()
    return f"keras {version('keras')} on {backend} {version(backend)}"


def git_revision() -> str:
    """The commit of the running source, with ``-dirty`` where files differ from it."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    described = subprocess.run(  # noqa: S603 - a fixed command, found on the path
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"
