"""``python -m training`` is ``pneumo-train``."""

from training.cli import app

app(prog_name="pneumo-train")
