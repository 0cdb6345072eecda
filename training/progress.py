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
