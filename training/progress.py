"""What a person sees while a training runs."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.checkpoint import Epoch

# The time left follows from the last minutes, so that the validations between epochs count too.
SPEED_WINDOW_S = 180


def progress_bar(console: Console) -> Progress:
    """A bar with what is done, the time spent and the time left; nothing without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=SPEED_WINDOW_S,
        disable=not console.is_terminal,
    )


def epoch_line(row: Epoch, epochs: int) -> str:
    """One line about an epoch, for the terminal and for logs."""
    return (
        f"member {row.member + 1}, epoch {row.epoch}/{epochs}: loss {row.loss:.4f}, "
        f"validation loss {row.validation_loss:.4f}, validation AUROC {row.validation_auroc:.4f}, "
        f"{row.seconds:.1f} s"
    )
