"""``python -m service`` is ``pneumo-serve``."""

from service.cli import app

if __name__ == "__main__":
    app(prog_name="pneumo-serve")
