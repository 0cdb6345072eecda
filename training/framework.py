"""The framework's start, without its log."""

import importlib
import logging
import os
from pathlib import Path


def import_keras() -> None:
    """Import the framework without its log; TensorFlow greets on the standard error, even so."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Several networks in one process make it warn of tracing functions again, which is right.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module("keras")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
