"""``python -m commissioning``."""

from commissioning.cli import app

app()
