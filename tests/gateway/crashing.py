"""The gateway, which ends as by `kill -9` once it has done what its first argument names."""

import os
import pkgutil
import signal
import sys
from typing import Any

from gateway.cli import app


def crash_after(step: str) -> None:
    """End with the first call of a function, by its full name, that is given something to do."""
    owner, _, name = step.rpartition(".")
    its = pkgutil.resolve_name(owner)
    original = getattr(its, name)

    def last(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        if all(arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(its, name, last)


if __name__ == "__main__":
    crash_after(sys.argv.pop(1))
    app()
