"""Runs the application under uvicorn: one process, one event loop; `service.workers` has many."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TypeAlias, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.app import create_app
from service.errors import StartError
from service.intake import Intake
from service.logs import Logger, silence_quoting_libraries
from service.runtime import Runtime
from service.settings import Settings

LINGER_S = 0.5
Sockets: TypeAlias = list[socket.socket]


class Server(uvicorn.Server):
    """A uvicorn that stops where the models do not load, and ends with 0 where it is told to."""

    def __init__(
        self, config: uvicorn.Config, runtime: Runtime, intake: Intake | None = None
    ) -> None:
        """Prepare to serve.

        Args:
            config: Of uvicorn.
            runtime: Of the application.
            intake: What hands over the connections of a port that others accept on.
        """
        super().__init__(config)
        self.runtime = runtime
        self._intake = intake

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
        ports = [server.sockets[0].getsockname()[1] for server in self.servers]
        if self._intake is not None and ports:
            self._intake.begin(self._make_protocol)
            ports.insert(0, self.config.port)
        for port in ports:
            self.runtime.log.info("listening", host=self.config.host, port=port)

    def _make_protocol(self) -> asyncio.Protocol:
        """What reads and answers a connection that was handed over, as uvicorn makes its own."""
        return _HandedOver(
            self.config, self.server_state, self.lifespan.state, cast("Intake", self._intake)
        )

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
        if self._intake is not None:
            await self._intake.end()
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


class _HandedOver(HttpToolsProtocol):
    """A connection that is counted when it is gone."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        intake: Intake,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._intake = intake

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._intake.count_closed()


def make_server(app: FastAPI, intake: Intake | None = None) -> Server:
    """Make a server for an application of ``create_app``.

    Args:
        app: What it serves.
        intake: What hands over the connections of a port that others accept on.
    """
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
    return Server(config, runtime, intake)


def serve(
    settings: Settings,
    sockets: Sockets | None = None,
    log: Logger | None = None,
    intake: Intake | None = None,
) -> None:
    """Serve until a signal comes.

    Args:
        settings: Of this process.
        sockets: Where to listen, bound already; as the settings say, where None.
        log: Where to log; as the settings say, where None.
        intake: What hands over the connections of the port of the settings, where others accept.

    Raises:
        ContractError: A model bundle cannot be used.
        ServiceError: The service cannot start.
    """
    silence_quoting_libraries()
    server = make_server(create_app(settings, log=log), intake)
    server.run(sockets)
    if server.runtime.failure is not None:
        raise server.runtime.failure
