"""The folder of one training: what lies in it, and how it is read again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import keras
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.manifest import Provenance
from training.atomic import atomic_path, write_errors, write_text
from training.calibrate import Calibration
from training.checkpoint import Epoch
from training.config import Recipe
from training.errors import WorkdirIncomplete, WorkdirMismatch
from training.evaluation import Evaluation
from training.models import with_serving_outputs
from training.ood.scorer import OodScorer, load_scorer

Model = TypeVar("Model", bound=BaseModel)

CALIBRATION = "calibration.json"
PROVENANCE = "provenance.json"
EVALUATED = ("evaluation*.json", "predictions-*.csv", "figures/*.png", "report*/report.*")
RECALIBRATED = ", calibrated at "


class Binding(BaseModel):
    """What a workdir belongs to: config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    data_digest: str


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """All that export and evaluation need of a finished training.

    ``model`` is the training form: from ``image``, uint8, shape (batch, height, width, 1), to raw
    logits, float32, shape (batch, classes). ``evaluation`` is that of the official test split, None
    where it has not been evaluated yet.
    """

    model: keras.Model
    config: Recipe
    calibration: Calibration
    provenance: Provenance
    evaluation: Evaluation | None
    scorer: OodScorer | None = None

    def serving_model(self) -> keras.Model:
        """The model with the calibrated outputs of the service; see ``with_serving_outputs``."""
        return with_serving_outputs(self.model, self.calibration.temperature, self.scorer)


@dataclass(frozen=True, slots=True)
class Workdir:
    """The paths of one workdir."""

    root: Path

    @property
    def model(self) -> Path:
        """The trained Keras model, one file."""
        return self.root / "model.keras"

    @property
    def cache(self) -> Path:
        """Decoded images; may be removed at any time."""
        return self.root / "cache"

    @property
    def scorer(self) -> Path:
        """The constants of the out-of-distribution score."""
        return self.root / "ood.npz"

    @property
    def split_table(self) -> Path:
        """Every image that was used, with relative path, label, patient, group and split."""
        return self.root / "split.csv"

    def member(self, number: int) -> Path:
        """The checkpoints of one network of the ensemble."""
        return self.root / "checkpoints" / f"member-{number}"

    def evaluation(self, split: str) -> Path:
        """The figures of one split; the official test split's file has the plain name."""
        return self.root / ("evaluation.json" if split == "test" else f"evaluation-{split}.json")

    def bind(self, recipe: Recipe, digest: str) -> None:
        """Claim a workdir for a recipe and its data, or check that it is already theirs.

        The recipe's rules of calibration may have changed since; they do not touch the network,
        but what was calibrated and evaluated by the old ones is removed before the new ones stand.

        Raises:
            WorkdirMismatch: It belongs to another recipe or to other data.
            WriteFailed: It cannot be written.
        """
        wanted = Binding(recipe=recipe, data_digest=digest)
        path = self.root / "config.json"
        with write_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        found = self._read(path, Binding) if path.exists() else wanted
        if not found.recipe.trains_like(recipe) or found.data_digest != digest:
            what = "other data" if found.recipe.trains_like(recipe) else "another recipe"
            raise WorkdirMismatch(
                f"{self.root} holds a training with {what}. Give a new workdir, "
                "or remove this one to train again."
            )
        if found.recipe != recipe:
            self._forget_evaluations()
            (self.root / CALIBRATION).unlink(missing_ok=True)
        self.write_json(path, wanted)

    def write_json(self, path: Path, content: BaseModel | dict[str, str]) -> None:
        """Write one of the JSON files, whole or not at all.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        write_text(path, _as_json(content))

    def read_split(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that the training has used, with the groups and splits it gave them.

        Args:
            table: One row per image; the index is kept.

        Raises:
            WorkdirIncomplete: The training has not been split yet.
        """
        if not self.split_table.is_file():
            raise WorkdirIncomplete(f"{self.root} has no {self.split_table.name}: train first.")
        used = pd.read_csv(self.split_table, index_col="path")[["group", "split"]]
        return table.drop(columns=["group", "split"]).join(used, on="path", how="inner")

    def write_history(self, history: Sequence[Epoch]) -> None:
        """Write what each epoch of each member gave.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        table = pd.DataFrame(
            [row.model_dump() for row in history], columns=list(Epoch.model_fields)
        )
        self.write_table(self.root / "history.csv", table)

    def write_table(self, path: Path, table: pd.DataFrame) -> None:
        """Write one of the CSV files, whole or not at all.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        with atomic_path(path) as draft:
            table.to_csv(draft, index=False)

    def finish(self, model: keras.Model, calibration: Calibration, provenance: Provenance) -> None:
        """Write a training's results; the model comes last and tells that the rest is there.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        self.calibrate(calibration)
        self.write_json(self.root / PROVENANCE, provenance)
        with atomic_path(self.model) as draft:
            model.save(draft)

    def calibrate(self, calibration: Calibration) -> None:
        """Write a calibration, and remove evaluations that were made with another one.

        Raises:
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        path = self.root / CALIBRATION
        if not path.is_file() or path.read_text(encoding="utf-8") != _as_json(calibration):
            self._forget_evaluations()
        self.write_json(path, calibration)

    def recalibrate(self, calibration: Calibration, git_revision: str) -> None:
        """Write a new calibration of a finished training, and which revision made it.

        Raises:
            WorkdirIncomplete: There is no provenance.
            WriteFailed: The disk is full, or the folder cannot be written.
        """
        path = self.root / PROVENANCE
        provenance = self._read(path, Provenance)
        trained_at, _, _ = provenance.git_revision.partition(RECALIBRATED)
        if git_revision != trained_at:
            revision = f"{trained_at}{RECALIBRATED}{git_revision}"
            self.write_json(path, provenance.model_copy(update={"git_revision": revision}))
        self.calibrate(calibration)

    def _forget_evaluations(self) -> None:
        """Remove figures and pictures that were made with another calibration."""
        for pattern in EVALUATED:
            for file in self.root.glob(pattern):
                file.unlink()

    def load(self) -> TrainedModel:
        """Read a finished training.

        Raises:
            WorkdirIncomplete: The training has not ended, or a file is missing or damaged.
        """
        evaluation = self.evaluation("test")
        if not self.model.is_file():
            raise WorkdirIncomplete(
                f"{self.root} holds no finished training: run pneumo-train fit with this workdir."
            )
        return TrainedModel(
            model=self.load_model(),
            config=self._read(self.root / "config.json", Binding).recipe,
            calibration=self._read(self.root / CALIBRATION, Calibration),
            provenance=self._read(self.root / PROVENANCE, Provenance),
            evaluation=self._read(evaluation, Evaluation) if evaluation.is_file() else None,
            scorer=load_scorer(self.scorer) if self.scorer.is_file() else None,
        )

    def load_model(self) -> keras.Model:
        """Read the trained model.

        Raises:
            WorkdirIncomplete: The file is damaged.
        """
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


def _as_json(content: BaseModel | dict[str, str]) -> str:
    values = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    return json.dumps(values, indent=2) + "\n"


def load_trained(workdir: Path) -> TrainedModel:
    """Read a finished training from its workdir.

    Raises:
        WorkdirIncomplete: The training has not ended, or a file is missing or damaged.
    """
    return Workdir(workdir).load()
