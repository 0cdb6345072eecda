"""The segmenter's recipe: all that decides its training, read from TOML into frozen objects."""

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.preprocessing import PreprocessingSpec
from training.config import AugmentationConfig, SplitConfig
from training.errors import RecipeError

RECIPE = Path(__file__).parent / "recipe.toml"
# The network halves its input so many times, and doubles it again as often.
SCALES = 4


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(_Frozen):
    """The network. ``width`` is the number of channels of the first convolutions."""

    width: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)


class OptimisationConfig(_Frozen):
    """AdamW with a linear warm-up, then a cosine decay to zero; the last averaged weights are kept.

    ``images_per_epoch`` makes an epoch as long as if there were so many images.
    """

    epochs: int = Field(ge=1)
    images_per_epoch: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_epochs: int = Field(ge=0)
    ema_momentum: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be less than epochs")
        if self.batch_size > self.images_per_epoch:
            raise ValueError("batch_size must not exceed images_per_epoch")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of one epoch."""
        return self.images_per_epoch // self.batch_size


class SegmenterRecipe(_Frozen):
    """The whole of the TOML file.

    ``caveats`` are sentences for whoever reads the segmenter's figures; they end on its card.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    seed: int = Field(ge=0)
    split: SplitConfig
    preprocessing: PreprocessingSpec
    network: NetworkConfig
    augmentation: AugmentationConfig
    training: OptimisationConfig
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if any(side % 2**SCALES for side in self.preprocessing.size):
            raise ValueError(f"preprocessing: height and width must be multiples of {2**SCALES}")
        if self.split.test_share is None:
            raise ValueError("split.test_share is missing: the masks have no official test split")
        if self.augmentation.mixup_alpha:
            raise ValueError("augmentation.mixup_alpha must be 0: two chests cannot be one mask")
        return self


def read_segmenter_recipe(path: Path = RECIPE) -> SegmenterRecipe:
    """Read the recipe that ships with the project, or another one.

    Raises:
        RecipeError: There is no such file, or it is no valid TOML, or a value is wrong.
    """
    try:
        return SegmenterRecipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise RecipeError(f"{path}: {error}") from error
