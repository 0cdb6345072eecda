"""Everything that can stop a training or an evaluation; each message says what to do.

Whatever reads a data set may raise ``DataError``, whatever reads a workdir ``WorkdirIncomplete``,
and whatever writes ``WriteFailed``.
"""


class TrainingError(Exception):
    """Base of every error that this package raises."""


class RecipeError(TrainingError):
    """The recipe is missing, unreadable or inconsistent."""


class DataError(TrainingError):
    """The data set cannot be used: its layout, a label, or a class without an image."""


class WorkdirMismatch(TrainingError):
    """The workdir belongs to another recipe or to other data."""


class WorkdirIncomplete(TrainingError):
    """The workdir holds no finished training, or lacks a file."""


class WriteFailed(TrainingError):
    """A file could not be written, as on a full disk."""


class TrainingDiverged(TrainingError):
    """The loss is no longer a number."""


class CalibrationError(TrainingError):
    """No operating point follows the recipe's rule."""
