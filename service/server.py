"""Runs the application under uvicorn: one process, one event loop; `service.workers` has many."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TypeAlias, cast

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.errors import StartError
from service.logs import Logger, silence_quoting_libraries
from service.runtime import Runtime
from service.settings import Settings

LINGER_S = 0.5
Sockets: TypeAlias = list[socket.socket]


class Server(uvicorn.Server):
    """A uvicorn that stops where the models do not load, and ends with 0 where it is told to."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime) -> None:
        """Prepare to serve the application that ``runtime`` belongs to."""
        super().__init__(config)
        self.runtime = runtime

    async def startup(self, sockets: Sockets | None = None) -> None:
        """Start to listen, and say where; from now on SIGHUP reloads the models.

        Raises:
            StartError: One of the sockets cannot listen.
        """
        # uvicorn takes the sockets one by one, after the lifespan has begun.
        still_wanted = None if sockets is None else cast("Sockets", self._unless_over(sockets))
        try:
            await super().startup(still_wanted)
        except OSError as error:
            await self.shutdown(sockets)
            raise StartError(f"Cannot listen: {error.strerror or error}.") from error
        # Only the main thread may take signals: a test that serves in another has none.
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self.runtime.reload_on_signal)
        for server in self.servers:
            port = server.sockets[0].getsockname()[1]
            self.runtime.log.info("listening", host=self.config.host, port=port)

    def _unless_over(self, sockets: Sockets) -> Iterator[socket.socket]:
        """The sockets; none where the models did not load, or a stop was asked for meanwhile."""
        if self.should_exit or self.runtime.failure is not None:
            return
        for each in sockets:
            # uvloop would say nothing where this fails.
            each.listen(self.config.backlog)
            yield each

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    async def on_tick(self, counter: int) -> bool:
        """Stop where the models did not load."""
        return await super().on_tick(counter) or self.runtime.failure is not None

    async def shutdown(self, sockets: Sockets | None = None) -> None:
        """Close the port, answer what is still on its way, and stop when the last answer is sent.

        uvicorn would close every connection that looks idle, and with it the request that a client
        has just sent there.
        """
        for server in self.servers:
            server.close()
        if self.server_state.connections:
            await asyncio.sleep(LINGER_S)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Take no new work, finish what was accepted, stop; at once on the second signal.

        The first signal is not raised again afterwards, as uvicorn's own handler does: a stop that
        was asked for is a success.
        """
        if self.should_exit:
            # A model may be running: the interpreter cannot be taken down around its thread.
            os._exit(128 + sig)
        self.runtime.begin_stopping()
        self.should_exit = True


def make_server(app: FastAPI) -> Server:
    """Make a server for an application of ``create_app``."""
    runtime: Runtime = app.state.runtime
    settings = runtime.settings
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    return Server(config, runtime)


def serve(settings: Settings, sockets: Sockets | None = None, log: Logger | None = None) -> None:
    """Serve until a signal comes.

    Args:
        settings: Of this process.
        sockets: Where to listen, bound already; as the settings say, where None.
        log: Where to log; as the settings say, where None.

    Raises:
        ContractError: A model bundle cannot be used.
        ServiceError: The service cannot start.
    """
    silence_quoting_libraries()
    server = make_server(create_app(settings, log=log))
    server.run(sockets)
    if server.runtime.failure is not None:
        raise server.runtime.failure
