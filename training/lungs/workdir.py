"""The folder of one training of the segmenter: what lies in it, and how it is read again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import keras
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.lung_field import LungFieldLimits
from contract.manifest import Metric, Provenance
from training.atomic import atomic_path, write_errors, write_text
from training.errors import WorkdirIncomplete, WorkdirMismatch
from training.lungs.recipe import SegmenterRecipe

Model = TypeVar("Model", bound=BaseModel)


class LungBinding(BaseModel):
    """What a workdir belongs to: config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: SegmenterRecipe
    data_digest: str


class LungEvaluation(BaseModel):
    """The figures of the test split: evaluation.json.

    ``worst`` is the mean Dice coefficient of the patient with the lowest one. Near-duplicates count
    as one patient, whatever the data set calls them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    images: int
    patients: int
    worst: float
    metrics: tuple[Metric, ...]


class LungFieldFit(BaseModel):
    """What the check of the lungs accepts, and what that does to other images: lung-field.json.

    ``refused`` is the share of whole radiographs below the limit, ``caught`` that of the same ones
    with so much of their sides cut off at a corner: of all, suspected by ``framing`` or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: LungFieldLimits
    fitted: int
    measured: int
    refused: float
    caught: dict[float, float]


@dataclass(frozen=True, slots=True)
class TrainedSegmenter:
    """All that export and others need of a finished training.

    ``model`` is the training form: from ``image``, uint8, shape (batch, height, width, 1), to
    logits, float32, of that shape. ``evaluation`` is None before ``evaluate_lungs``, ``lung_field``
    before ``fit_lung_field``.
    """

    model: keras.Model
    recipe: SegmenterRecipe
    provenance: Provenance
    evaluation: LungEvaluation | None
    lung_field: LungFieldLimits | None = None


@dataclass(frozen=True, slots=True)
class LungWorkdir:
    """The paths of one workdir."""

    root: Path

    @property
    def model(self) -> Path:
        """The trained Keras model, one file."""
        return self.root / "model.keras"

    @property
    def checkpoint(self) -> Path:
        """How far the training is."""
        return self.root / "checkpoint.npz"

    @property
    def split_table(self) -> Path:
        """Every image that was used, with its mask, patient, group and split."""
        return self.root / "split.csv"

    @property
    def evaluation(self) -> Path:
        """The figures of the test split."""
        return self.root / "evaluation.json"

    @property
    def lung_field(self) -> Path:
        """What the quality check of that name accepts, and what that does."""
        return self.root / "lung-field.json"

    def bind(self, recipe: SegmenterRecipe, digest: str) -> None:
        """Claim a workdir for a recipe and its data, or check that it is already theirs.

        Raises:
            WorkdirMismatch: It belongs to another recipe or to other data.
            WriteFailed: It cannot be written.
        """
        wanted = LungBinding(recipe=recipe, data_digest=digest)
        path = self.root / "config.json"
        with write_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        if path.exists() and self._read(path, LungBinding) != wanted:
            raise WorkdirMismatch(
                f"{self.root} holds a training with another recipe or other data. "
                "Give a new workdir, or remove this one to train again."
            )
        self.write_json(path, wanted)

    def write_json(self, path: Path, content: BaseModel) -> None:
        """Write one of the JSON files, whole or not at all.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        write_text(path, json.dumps(content.model_dump(mode="json"), indent=2) + "\n")

    def write_table(self, path: Path, table: pd.DataFrame) -> None:
        """Write one of the CSV files, whole or not at all.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        with atomic_path(path) as draft:
            table.to_csv(draft, index=False)

    def read_split(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that the training has used, with the groups and splits it gave them.

        Args:
            table: One row per image; the index is kept.

        Raises:
            WorkdirIncomplete: The training has not been split yet.
        """
        if not self.split_table.is_file():
            raise WorkdirIncomplete(f"{self.root} has no {self.split_table.name}: train first.")
        used = pd.read_csv(self.split_table, dtype=str, index_col="path")[["group", "split"]]
        return table.drop(columns=["group", "split"]).join(used, on="path", how="inner")

    def finish(self, model: keras.Model, provenance: Provenance) -> None:
        """Write a training's results; the model comes last and tells that the rest is there.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        self.write_json(self.root / "provenance.json", provenance)
        with atomic_path(self.model) as draft:
            model.save(draft)

    def load(self) -> TrainedSegmenter:
        """Read a finished training.

        Raises:
            WorkdirIncomplete: The training has not ended, or a file is missing or damaged.
        """
        if not self.model.is_file():
            raise WorkdirIncomplete(f"{self.root} holds no finished training of the segmenter.")
        evaluation, field = self.evaluation, self.lung_field
        return TrainedSegmenter(
            model=self._load_model(),
            recipe=self._read(self.root / "config.json", LungBinding).recipe,
            provenance=self._read(self.root / "provenance.json", Provenance),
            evaluation=self._read(evaluation, LungEvaluation) if evaluation.is_file() else None,
            lung_field=self._read(field, LungFieldFit).limits if field.is_file() else None,
        )

    def _load_model(self) -> keras.Model:
        try:
            return keras.saving.load_model(self.model, compile=False)
        except (OSError, ValueError) as error:
            raise WorkdirIncomplete(f"{self.model} cannot be loaded: {error}") from error

    def _read(self, path: Path, kind: type[Model]) -> Model:
        try:
            return kind.model_validate_json(path.read_bytes())
        except OSError as error:
            raise WorkdirIncomplete(f"{path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            raise WorkdirIncomplete(f"{path} is damaged: {error}. Train again.") from error
