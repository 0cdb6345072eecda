"""``python -m export`` is ``pneumo-export``."""

from export.cli import app

app()
