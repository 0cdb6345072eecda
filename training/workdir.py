"""The folder of one training: what lies in it, where it comes from, and how it is read again."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Generic, TypeVar

import keras
import pandas as pd
from pydantic import BaseModel, ValidationError

from contract.manifest import Provenance
from training.atomic import atomic_path, read_arrays, write_errors, write_text
from training.calibrate import Calibration
from training.config import AnyRecipe, Frozen, Recipe
from training.datasets import Dataset
from training.errors import WorkdirIncomplete, WorkdirMismatch
from training.evaluation import Evaluation
from training.evidence import SourceHeads
from training.models import EVIDENCE, with_serving_outputs
from training.ood import OodScorer

Model = TypeVar("Model", bound=BaseModel)

EVALUATED = (
    "evaluation*.json",
    "predictions-*.csv",
    "figures/*.png",
    "report-*.html",
    "leave-out.csv",
)
# What of a recipe does not touch the network.
LATER = {"calibration", "operating_points", "ages", "caveats"}


class Binding(Frozen, Generic[AnyRecipe]):
    """What a workdir belongs to: config.json."""

    recipe: AnyRecipe
    data_digest: str


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """All that export and evaluation need of a finished training.

    ``model`` is the training form: from ``image``, uint8, shape (batch, height, width, 1), to raw
    logits, float32, shape (batch, classes). ``evaluation`` is that of the test split, None where it
    has not been evaluated yet.
    """

    model: keras.Model
    config: Recipe
    calibration: Calibration
    provenance: Provenance
    evaluation: Evaluation | None
    scorer: OodScorer | None = None
    heads: SourceHeads | None = None

    def serving_model(self) -> keras.Model:
        """The model with the calibrated outputs of the service; see ``with_serving_outputs``."""
        return with_serving_outputs(
            self.model, self.calibration.temperature, self.scorer, self.heads
        )


class Workdir:
    """The files of one workdir, of a classifier or of the segmenter; each is whole or not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model = root / "model.keras"
        # Decoded images; may be removed at any time.
        self.cache = root / "cache"
        # The constants of the out-of-distribution score.
        self.scorer = root / "ood.npz"
        # The last layers of the sources; missing where they are not told apart.
        self.heads = root / "heads.npz"
        # Every image that was used, with relative path, label, patient, group and split.
        self.split_table = root / "split.csv"
        self.provenance = root / "provenance.json"
        # What was chosen on the validation split.
        self.calibration = root / "calibration.json"

    def evaluation(self, split: str) -> Path:
        """The figures of one split; the test split's file has the plain name."""
        return self.root / ("evaluation.json" if split == "test" else f"evaluation-{split}.json")

    def bind(self, recipe: AnyRecipe, digest: str) -> None:
        """Claim a workdir for a recipe and its data, or check that it is already theirs.

        The recipe's rules of calibration may have changed since; they do not touch the network,
        but what was calibrated and evaluated by the old ones is removed before the new ones stand.
        Raises ``WorkdirMismatch`` where it belongs to another recipe or to other data.
        """
        binding = Binding[type(recipe)]
        wanted = binding(recipe=recipe, data_digest=digest)
        path = self.root / "config.json"
        with write_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        found = self.read(path, binding) if path.exists() else wanted
        alike = found.recipe.model_dump(exclude=LATER) == recipe.model_dump(exclude=LATER)
        if not alike or found.data_digest != digest:
            what = "other data" if alike else "another recipe"
            raise WorkdirMismatch(
                f"{self.root} holds a training with {what}. Give a new workdir, "
                "or remove this one to train again."
            )
        if found.recipe != recipe:
            self._forget_evaluations()
            self.calibration.unlink(missing_ok=True)
        self.write_json(path, wanted)

    def read_split(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that were used, with the groups and splits that the training gave."""
        if not self.split_table.is_file():
            raise WorkdirIncomplete(f"{self.root} has no {self.split_table.name}: train first.")
        used = pd.read_csv(self.split_table, dtype=str, index_col="path")[["group", "split"]]
        return table.drop(columns=["group", "split"]).join(used, on="path", how="inner")

    def write_json(self, path: Path, content: BaseModel) -> None:
        """Write one of the JSON files."""
        write_text(path, _as_json(content))

    def write_table(self, path: Path, table: pd.DataFrame) -> None:
        """Write one of the CSV files."""
        with atomic_path(path) as draft:
            table.to_csv(draft, index=False)

    def write_calibration(self, calibration: Calibration) -> None:
        """Write a calibration, and remove evaluations that were made with another one."""
        content = _as_json(calibration)
        if not self.calibration.is_file() or self.calibration.read_text("utf-8") != content:
            self._forget_evaluations()
        write_text(self.calibration, content)

    def finish(self, model: keras.Model, provenance: Provenance) -> None:
        """Write a training's results; the model comes last and tells that the rest is there."""
        self.write_json(self.provenance, provenance)
        with atomic_path(self.model) as draft:
            model.save(draft)

    def load_model(self) -> keras.Model:
        """Read the trained model."""
        if not self.model.is_file():
            raise WorkdirIncomplete(
                f"{self.root} holds no finished training: run pneumo-train fit with this workdir."
            )
        try:
            return keras.saving.load_model(self.model, compile=False)
        except (OSError, ValueError) as error:
            raise WorkdirIncomplete(f"{self.model} cannot be loaded: {error}") from error

    def read(self, path: Path, kind: type[Model]) -> Model:
        """Read one of the JSON files."""
        try:
            return kind.model_validate_json(path.read_bytes())
        except OSError as error:
            raise WorkdirIncomplete(f"{path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            raise WorkdirIncomplete(f"{path} is damaged: {error}. Train again.") from error

    def _forget_evaluations(self) -> None:
        for pattern in EVALUATED:
            for file in self.root.glob(pattern):
                file.unlink()


def load_trained(workdir: Path) -> TrainedModel:
    """Read a finished training of a classifier from its workdir, or raise ``WorkdirIncomplete``."""
    work = Workdir(workdir)
    evaluation, model = work.evaluation("test"), work.load_model()
    if not isinstance(model.get_layer(EVIDENCE), keras.layers.Conv2D):
        raise WorkdirIncomplete(f"{work.model} is of an earlier version: train again.")
    return TrainedModel(
        model=model,
        config=work.read(work.root / "config.json", Binding[Recipe]).recipe,
        calibration=work.read(work.calibration, Calibration),
        provenance=work.read(work.provenance, Provenance),
        evaluation=work.read(evaluation, Evaluation) if evaluation.is_file() else None,
        scorer=read_arrays(work.scorer, OodScorer) if work.scorer.is_file() else None,
        heads=read_arrays(work.heads, SourceHeads) if work.heads.is_file() else None,
    )


def _as_json(content: BaseModel) -> str:
    return json.dumps(content.model_dump(mode="json"), indent=2) + "\n"


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
