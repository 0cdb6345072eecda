import os
import signal
from pathlib import Path

import pytest

from service.app import create_app
from service.server import make_server
from service.settings import Settings


class ProcessEnded(BaseException):
    """What stands in for the end of the process, which a test must outlive."""


def test_the_first_signal_stops_in_good_order_and_the_second_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise ProcessEnded(code)

    monkeypatch.setattr(os, "_exit", end)
    server = make_server(create_app(Settings(models_dir=tmp_path)))

    server.handle_exit(signal.SIGINT, None)

    assert server.should_exit
    assert server.runtime.status == "stopping"
    with pytest.raises(ProcessEnded, match="130"):
        server.handle_exit(signal.SIGINT, None)
