"""Recipes: all that decides a training, read from TOML into frozen objects."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contract.findings import Label
from contract.preprocessing import PreprocessingSpec
from training.acquisition_shifts import ACQUISITION_SHIFTS
from training.errors import RecipeError

RECIPES = Path(__file__).parent / "recipes"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Frozen):
    """Which data set, and which classes of it in which output order.

    ``positive`` is the finding that sensitivity and the other two-sided figures speak of.
    """

    adapter: str
    classes: tuple[Label, ...] = Field(min_length=2)
    positive: Label

    @model_validator(mode="after")
    def _classes_hold_together(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class stands twice")
        if self.positive not in self.classes:
            raise ValueError(f"positive is {self.positive!r}, which is no class")
        return self


class SplitConfig(_Frozen):
    """How the validation split is taken out of the official training set.

    ``random`` draws whole groups; ``block`` takes those with the lowest patient numbers of every
    series, which lie further from the rest than a random draw does.
    ``near_duplicate_bits`` is the largest Hamming distance, of 256 bits, between the difference
    hashes of two images that count as the same.
    """

    strategy: Literal["random", "block"] = "random"
    validation_share: float = Field(gt=0, lt=0.5)
    near_duplicate_bits: int = Field(ge=0, le=128)


class ModelConfig(_Frozen):
    """The network. ``local_window`` is a share of the image's height.

    ``border`` pixels are cut from each side before anything else: markers, tubes and collimation
    lie there. It must be a whole number of cells of the feature map.
    """

    backbone: Literal["compact"]
    width: int = Field(ge=1)
    border: int = Field(default=0, ge=0)
    dropout: float = Field(ge=0, lt=1)
    standardisation: Literal["fixed", "image", "local", "image+local"]
    local_window: float = Field(default=0.17, gt=0, le=1)


class AugmentationConfig(_Frozen):
    """How far a training image may be changed. Zero leaves that change out.

    ``strength`` multiplies the amounts of position and exposure, and every probability but that of
    a flip. ``scale``, ``aspect``, ``crop``, ``gamma`` and ``contrast`` are bounds of a
    logarithm: 0.1 is about 10 %. ``shear``, ``shift`` and ``erase_size`` are shares of the image;
    ``brightness`` is a share of the full range; ``noise_sigma`` counts gray levels.
    """

    strength: float = Field(default=1, ge=0)
    flip_probability: float = Field(default=0, ge=0, le=1)
    rotation_degrees: float = Field(default=0, ge=0, le=180)
    scale: float = Field(default=0, ge=0, le=1)
    aspect: float = Field(default=0, ge=0, le=1)
    crop: float = Field(default=0, ge=0, le=1)
    shear: float = Field(default=0, ge=0, le=1)
    shift: float = Field(default=0, ge=0, le=0.5)
    blur_probability: float = Field(default=0, ge=0, le=1)
    blur_radius: float = Field(default=1, gt=0)
    gamma: float = Field(default=0, ge=0)
    contrast: float = Field(default=0, ge=0)
    brightness: float = Field(default=0, ge=0, le=1)
    tone_probability: float = Field(default=0, ge=0, le=1)
    degrade_probability: float = Field(default=0, ge=0, le=1)
    noise_probability: float = Field(default=0, ge=0, le=1)
    noise_sigma: float = Field(default=8, gt=0)
    erase_probability: float = Field(default=0, ge=0, le=1)
    erase_patches: int = Field(default=3, ge=1)
    erase_size: float = Field(default=0.25, gt=0, lt=1)
    mixup_alpha: float = Field(default=0, ge=0)


class TrainingConfig(_Frozen):
    """The optimisation: AdamW with a linear warm-up, then a cosine decay.

    ``initial_learning_rate`` and ``final_learning_rate`` are shares of ``learning_rate``.
    ``members`` networks are trained, each with its own seed, and averaged into one model.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    members: int = Field(default=1, ge=1)
    sampling: Literal["balanced", "natural"] = "balanced"
    learning_rate: float = Field(gt=0)
    initial_learning_rate: float = Field(default=0.05, ge=0, le=1)
    final_learning_rate: float = Field(default=0.01, ge=0, le=1)
    warmup_epochs: float = Field(default=1, ge=0)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    ema_momentum: float | None = Field(default=None, gt=0, lt=1)
    monitor: Literal["auroc", "loss"] = "auroc"
    keep: Literal["best", "last"] = "best"
    patience: int = Field(ge=1)

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be less than epochs")
        return self


class CalibrationConfig(_Frozen):
    """On which forms of the validation images the temperature and operating points are chosen.

    ``shifts`` are names of ``training.acquisition_shifts``; ``none`` is the images as they are.
    """

    shifts: tuple[str, ...] = Field(default=("none",), min_length=1)

    @field_validator("shifts")
    @classmethod
    def _shifts_are_known(cls, shifts: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(shifts) - set(ACQUISITION_SHIFTS)):
            known = ", ".join(ACQUISITION_SHIFTS)
            raise ValueError(f"no such shift: {', '.join(unknown)}. Known: {known}")
        return shifts


class OperatingPointConfig(_Frozen):
    """How one finding's operating point is chosen on the validation split.

    ``sensitivity``: the highest threshold at which at least ``target`` of the images of the class
    are found. ``specificity``: the lowest threshold at which at least ``target`` of the images of
    the other classes are not taken for it. Over several shifts, ``pooled`` holds the target for all
    images together, ``worst`` for each shift alone.
    """

    label: Label
    rule: Literal["sensitivity", "specificity"]
    target: float = Field(gt=0, le=1)
    over: Literal["pooled", "worst"] = "pooled"


class Recipe(_Frozen):
    """One TOML file of ``training/recipes``, or a user's own.

    ``caveats`` are sentences for whoever reads the model's figures; they end on its card.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    seed: int = Field(ge=0)
    data: DataConfig
    split: SplitConfig
    preprocessing: PreprocessingSpec
    model: ModelConfig
    augmentation: AugmentationConfig
    training: TrainingConfig
    calibration: CalibrationConfig = CalibrationConfig()
    operating_points: tuple[OperatingPointConfig, ...]
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _every_class_has_one_operating_point(self) -> Self:
        if sorted(rule.label for rule in self.operating_points) != sorted(self.data.classes):
            raise ValueError("operating_points must name every class exactly once")
        return self

    def trains_like(self, other: "Recipe") -> bool:
        """Whether both lead to the same network; they may still calibrate it in two ways."""
        later = {
            "calibration": other.calibration,
            "operating_points": other.operating_points,
            "caveats": other.caveats,
        }
        return self.model_copy(update=later) == other


def read_recipe(name_or_path: str) -> Recipe:
    """Read a recipe that ships with the project by its name, or any other by its path.

    Raises:
        RecipeError: There is no such recipe, or it is no valid TOML, or a value is wrong.
    """
    path = _locate(name_or_path)
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is no valid TOML: {error}.") from error
    except ValidationError as error:
        raise RecipeError(f"{path.name}: {_faults(error)}.") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from error


def _locate(name_or_path: str) -> Path:
    shipped = RECIPES / f"{name_or_path}.toml"
    if shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.toml")))
        raise RecipeError(f"There is no recipe {name_or_path!r}. Give a path, or one of: {names}.")
    return path


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'recipe'}: {fault['msg']}"
        for fault in error.errors()
    )
