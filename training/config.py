"""Recipes: all that decides a training, read from TOML into frozen objects."""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.findings import Label
from contract.preprocessing import PreprocessingSpec
from training.atomic import write_text
from training.errors import RecipeError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

RECIPES = Path(__file__).parent / "recipes"
LUNGS = Path(__file__).parent / "lungs.toml"
# The segmenter halves its input so many times, and doubles it again as often.
SCALES = 4

ShiftName = Literal[
    "none",
    "brighter",
    "darker",
    "flatter",
    "harder",
    "film-like",
    "closer",
    "wider",
    "taller",
    "narrower",
    "rotated",
    "off-centre",
    "blurred",
    "sharpened",
    "recompressed",
    "noisy",
]


class Frozen(BaseModel):
    """What is read from a file: it never changes, and has no names that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(Frozen):
    """One data set of a recipe, in a folder below the one that ``--data`` names.

    ``labels`` gives the recipe's class for a label of the adapter that is called otherwise; images
    with a label of ``ignore`` are left out. ``only`` keeps the images of the named sources;
    ``rename`` gives one name to sources that are one collection.
    """

    adapter: str
    folder: str = "."
    labels: dict[str, Label] = {}
    ignore: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    rename: dict[str, str] = {}


class DataConfig(Frozen):
    """Which data sets, and which classes of them in which output order.

    ``positive`` is the finding that sensitivity and the other two-sided figures speak of; without
    one they speak of each finding in turn. The images of the sources in ``leave_out`` are neither
    trained on nor validated on. ``kind`` decides which DICOM modalities the model will take.
    """

    kind: Literal["radiograph", "ct-slice"] = "radiograph"
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    classes: tuple[Label, ...] = Field(min_length=2)
    positive: Label | None = None
    leave_out: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _classes_hold_together(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class stands twice")
        if self.positive is not None and self.positive not in self.classes:
            raise ValueError(f"positive is {self.positive!r}, which is no class")
        return self


class SplitConfig(Frozen):
    """How much is held out for validation, and where asked for as the test split.

    Whole groups are drawn: patients, joined where they have near-duplicate images; or ``by``
    ``image``, which says too much of a model and shows how much. Without ``validation_share`` the
    data sets say what validates, so that all recipes of one pool agree; without ``test_share``, of
    all images, the official test split stands. ``near_duplicate_bits``, of 256, is the largest
    distance between the difference hashes of two images that count as the same.
    """

    by: Literal["patient", "image"] = "patient"
    validation_share: float | None = Field(default=None, gt=0, lt=0.5)
    test_share: float | None = Field(default=None, gt=0, lt=0.5)
    near_duplicate_bits: int = Field(ge=0, le=128)


class ModelConfig(Frozen):
    """The network.

    ``width`` is the number of channels of the first convolutions, for the backbones of our own.
    ``weights`` is ``none`` for fresh ones, ``imagenet``, or the path of a file. ``last_layer`` ends
    a backbone that comes with weights early: earlier features are finer, fewer and less bound to
    the photographs that they were learned on. ``general_layer`` names a layer that, with all before
    it, keeps the weights that it came with; its features, which know less of the training's
    hospitals, stand behind those of the last layer. ``local_window`` is a share of the image's
    height. ``border`` pixels, a whole number of cells of the feature map, are cut from each side
    first: markers, tubes and collimation lie there.
    """

    backbone: Literal["compact", "cnn3", "efficientnetlite0", "mobilenetv2"]
    weights: str = "none"
    last_layer: str | None = None
    general_layer: str | None = None
    width: int = Field(default=24, ge=1)
    border: int = Field(default=0, ge=0)
    dropout: float = Field(ge=0, lt=1)
    standardisation: Literal["fixed", "image", "local", "imagenet"]
    local_window: float = Field(default=0.17, gt=0, le=1)


class FineTuningConfig(Frozen):
    """Two stages for a backbone that comes with weights.

    In the first ``head_epochs`` only the head learns, at ``head_learning_rate``; then also the last
    ``share`` of the backbone's layers.
    """

    head_epochs: int = Field(ge=0)
    head_learning_rate: float = Field(gt=0)
    share: float = Field(ge=0, le=1)


class AugmentationConfig(Frozen):
    """How far a training image may be changed. Zero leaves that change out.

    ``strength`` multiplies the amounts of position and exposure, and every probability but that of
    a flip. ``scale``, ``aspect``, ``gamma`` and ``contrast`` are bounds of a logarithm: 0.1 is
    about 10 %. ``shear``, ``shift`` and ``erase_size`` are shares of the image;
    ``brightness`` is a share of the full range; ``noise_sigma`` counts gray levels.
    """

    strength: float = Field(default=1, ge=0)
    flip_probability: float = Field(default=0, ge=0, le=1)
    rotation_degrees: float = Field(default=0, ge=0, le=180)
    scale: float = Field(default=0, ge=0, le=1)
    aspect: float = Field(default=0, ge=0, le=1)
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
    erase_size: float = Field(default=0.25, gt=0, lt=1)


class TrainingConfig(Frozen):
    """The optimisation: AdamW with a linear warm-up, then a cosine decay.

    ``initial_learning_rate`` and ``final_learning_rate`` are shares of ``learning_rate``. The
    averaged weights of the epoch with the highest validation AUROC are kept; training stops
    ``patience`` epochs after it, of which none counts before the last stage. ``balanced`` sampling
    gives each class the same part in an epoch, ``balanced-sources`` in each class each source a
    fairer one, so that it says less about the class. ``images_per_epoch`` makes an epoch as long as
    if there were so many images.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    sampling: Literal["balanced", "balanced-sources"] = "balanced"
    images_per_epoch: int | None = Field(default=None, ge=1)
    fine_tuning: FineTuningConfig | None = None
    learning_rate: float = Field(gt=0)
    initial_learning_rate: float = Field(default=0.05, ge=0, le=1)
    final_learning_rate: float = Field(default=0.01, ge=0, le=1)
    warmup_epochs: float = Field(default=1, ge=0)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    ema_momentum: float | None = Field(default=None, gt=0, lt=1)
    patience: int = Field(ge=1)

    @model_validator(mode="after")
    def _stages_end(self) -> Self:
        before = 0 if self.fine_tuning is None else self.fine_tuning.head_epochs
        if before + self.warmup_epochs >= self.epochs:
            raise ValueError("head_epochs and warmup_epochs must be less than epochs")
        return self


class CalibrationConfig(Frozen):
    """On which forms of the validation images the temperature and operating points are chosen.

    ``shifts`` are names of ``training.transforms``; ``none`` is the images as they are.
    Of the out-of-distribution score, ``ood_components`` is how many main directions of the features
    it looks at, at most, and ``ood_groups`` how many groups of images it knows: where few
    validation images set the limit, less of both catches more. ``by_source`` tells the sources
    apart: each has groups, a limit, a last layer and evidence of its own. A finding is shown in a
    source where its AUROC there is surely ``least_auroc``, by the interval's lower end.
    """

    shifts: tuple[ShiftName, ...] = Field(default=("none",), min_length=1)
    ood_components: int = Field(default=160, ge=1)
    ood_groups: int = Field(default=8, ge=1)
    by_source: bool = False
    least_auroc: float = Field(default=0.65, ge=0.5, lt=1)

    @model_validator(mode="after")
    def _looks_at_the_images_as_they_are(self) -> Self:
        if "none" not in self.shifts:
            raise ValueError("shifts must name none, the images as they are")
        return self


class OperatingPointConfig(Frozen):
    """How one finding's operating point is chosen on the validation split.

    ``sensitivity``: the highest threshold at which at least ``target`` of the images of the class
    are found. ``specificity``: the lowest threshold at which at least ``target`` of the images of
    the other classes are not taken for it. ``precision``: the lowest at which, in each source that
    shows the class, at least ``target`` of the images that are called so have it. Over several
    shifts, ``pooled`` holds the target for all images together, ``worst``, which ``precision`` does
    not know, for each shift alone.
    """

    label: Label
    rule: Literal["sensitivity", "specificity", "precision"]
    target: float = Field(gt=0, le=1)
    over: Literal["pooled", "worst"] = "pooled"


class Recipe(Frozen):
    """One TOML file of ``training/recipes``, or a user's own.

    ``ages`` are of the youngest and the oldest patient, in years; ``caveats`` end on the card.
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
    ages: tuple[int, int] | None = None
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _operating_points_fit(self) -> Self:
        if sorted(rule.label for rule in self.operating_points) != sorted(self.data.classes):
            raise ValueError("operating_points must name every class exactly once")
        if any(each.rule == "precision" and each.over == "worst" for each in self.operating_points):
            raise ValueError("operating_points of a precision hold over all shifts, not each")
        return self

    def with_changes(
        self,
        *,
        weights: str | None = None,
        leave_out: Sequence[str] | None = None,
        hold_out: Literal["patient", "image"] | None = None,
    ) -> "Recipe":
        """The recipe with other initial weights, without some sources, or on a split of its own.

        That holds out a fifth to test, an eighth of the rest to validate. None changes nothing.
        """
        changes: dict[str, dict[str, object]] = {}
        if weights is not None:
            changes["model"] = {"weights": weights}
        if leave_out is not None:
            changes["data"] = {"leave_out": tuple(leave_out)}
        if hold_out is not None:
            changes["split"] = {"by": hold_out, "test_share": 1 / 5, "validation_share": 1 / 8}
        parts = {part: getattr(self, part).model_copy(update=of) for part, of in changes.items()}
        return self.model_copy(update=parts)


class SegmenterModelConfig(Frozen):
    """The segmenter's network. ``width`` is the number of channels of the first convolutions."""

    width: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)


class SegmenterRecipe(Frozen):
    """``training/lungs.toml``; its epochs are compared by their Dice coefficient."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    seed: int = Field(ge=0)
    split: SplitConfig
    preprocessing: PreprocessingSpec
    model: SegmenterModelConfig
    augmentation: AugmentationConfig
    training: TrainingConfig
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if any(side % 2**SCALES for side in self.preprocessing.size):
            raise ValueError(f"preprocessing: height and width must be multiples of {2**SCALES}")
        if self.split.test_share is None:
            raise ValueError("split.test_share is missing: the masks have no official test split")
        return self


AnyRecipe = TypeVar("AnyRecipe", Recipe, SegmenterRecipe)


def read_recipe(name_or_path: str) -> Recipe:
    """Read a recipe that ships by its name, or any other by its path; or raise ``RecipeError``."""
    path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.toml")))
        raise RecipeError(f"There is no recipe {name_or_path!r}. Give a path, or one of: {names}.")
    return _read(path, Recipe)


def read_segmenter_recipe(path: Path = LUNGS) -> SegmenterRecipe:
    """Read the segmenter's recipe that ships, or another one; ``RecipeError`` where it is wrong."""
    return _read(path, SegmenterRecipe)


def write_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Write a recipe with every value, below a comment; ``read_recipe`` reads an equal one."""
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    content = recipe.model_dump(mode="json", exclude_none=True)
    write_text(path, lines + tomli_w.dumps(content))


def _read(path: Path, kind: type[AnyRecipe]) -> AnyRecipe:
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is no valid TOML: {error}.") from error
    except ValidationError as error:
        schema = kind.model_json_schema()
        parts = (schema, *schema["$defs"].values())
        known = {name for part in parts for name in part.get("properties", ())}
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'recipe'}: {fault['msg']}{_meant(fault, known)}"
            for fault in error.errors()
        )
        raise RecipeError(f"{path.name}: {faults}.") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from error


def _meant(fault: "ErrorDetails", known: set[str]) -> str:
    """The name of a key that a name which nobody knows is nearest to."""
    name = str(fault["loc"][-1]) if fault["type"] == "extra_forbidden" else ""
    near = difflib.get_close_matches(name, known - {name}, n=1, cutoff=0.7)
    return f" (is {near[0]} meant?)" if near else ""
