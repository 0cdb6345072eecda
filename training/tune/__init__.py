"""Find better values for a recipe, by trials that are judged on the validation split."""

from training.tune.run import tune

__all__ = ["tune"]
