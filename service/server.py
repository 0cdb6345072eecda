"""Runs the application under uvicorn: one process, or uvicorn's own workers."""

import asyncio
import os
import shutil
import socket
import ssl
import tempfile
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.errors import StartError
from service.logs import Logger, silence_quoting_libraries
from service.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

LINGER_S = 0.5
# Above the slowest load of all models, after which a replacement must be ready. The parent waits as
# long for the answer of a worker that has just died, and takes no signal meanwhile: so it must
# also stay below the grace period of a stop.
HEALTH_CHECK_S = 30
BACKLOG = 2048
# Longer than common clients and proxies keep an idle connection (5 to 60 s), so that the one who
# sends is the one who closes: a request that meets a close on its way is lost to its client.
KEEP_ALIVE_S = 75
# uvicorn ticks ten times a second.
TICKS_OF_A_LOOK = 10
# Source: RFC 9325 (BCP 195): forward secrecy and authenticated encryption; TLS 1.3 has no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"


class Server(uvicorn.Server):
    """A uvicorn that stops where the models do not load, and loses no request that it could answer.

    uvicorn closes every connection that looks idle, and with it the request that a client has just
    sent there; and a stop that was asked for is a success. ``app`` is one of ``create_app``.
    """

    def __init__(self, app: "FastAPI") -> None:
        self.runtime = app.state.runtime
        super().__init__(_config(app, self.runtime.settings))
        self._certificate = _changed(self.runtime.settings)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say where."""
        await super().startup(sockets)
        self.runtime.log.info("listening", host=self.config.host, port=self.port)

    async def on_tick(self, counter: int) -> bool:
        """Stop where the models did not load; take a certificate that has changed into use."""
        if counter % TICKS_OF_A_LOOK == 0:
            self._renew_certificate()
        return await super().on_tick(counter) or self.runtime.failure is not None

    def _renew_certificate(self) -> None:
        context, settings = self.config.ssl, self.runtime.settings
        if context is None or (changed := _changed(settings)) == self._certificate:
            return
        self._certificate = changed
        try:
            # Half of a pair that is being replaced must not get into the context that serves.
            check_certificate(settings)
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (OSError, StartError) as error:
            self.runtime.log.warning("certificate not renewed", reason=str(error))
        else:
            self.runtime.log.info("certificate renewed")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, answer what is still on its way, stop when the last answer is sent."""
        for server in self.servers:
            server.close()
        if self.server_state.connections:
            await asyncio.sleep(LINGER_S)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Take no new work, finish what was accepted, stop; at once on the second signal."""
        if self.should_exit:
            # A model may be running: the interpreter cannot be taken down around its thread.
            os._exit(128 + sig)
        self.runtime.begin_stopping()
        self.should_exit = True


def serve(app: "FastAPI") -> None:
    """Serve in this process until a signal comes; raises why the service cannot start."""
    silence_quoting_libraries()
    check_certificate(app.state.runtime.settings)
    server = Server(app)
    with bound(server.runtime.settings) as sock:
        server.run([sock])
    if server.runtime.failure is not None:
        raise server.runtime.failure


def serve_with_workers(settings: Settings, app: str, log: Logger) -> int:
    """Serve in several processes until a signal comes; uvicorn starts, watches and restarts them.

    Each makes its application by ``app``, ``module:function``. Returns the exit code: 1 where a
    worker cannot start. Raises StartError where the port or the certificate cannot be used.
    """
    check_certificate(settings)
    metrics = os.environ[MULTIPROC_DIR] = tempfile.mkdtemp(prefix="pneumoscope-metrics-")
    try:
        with bound(settings) as sock:
            log.info("listening", host=settings.host, port=sock.getsockname()[1])
            supervisor = Multiprocess(_config(app, settings), [sock])
            supervisor.run()
    finally:
        shutil.rmtree(metrics, ignore_errors=True)
    return int(any(p.exitcode == STARTUP_FAILURE for p in supervisor.processes))


def bound(settings: Settings) -> socket.socket:
    """Listen at the host's first address; StartError where the port is taken, or open to all."""
    settings.check_exposure()
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartError(
            f"Cannot listen on port {settings.port}: {error.strerror or error}."
        ) from error


def check_certificate(settings: Settings) -> None:
    """Raise StartError where a certificate, key or authority is set and cannot be used."""
    if settings.tls_certificate is None:
        return
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        trial.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_client_authorities:
            trial.load_verify_locations(settings.tls_client_authorities)
    except OSError as error:
        raise StartError(f"PNEUMO_TLS_CERTIFICATE and PNEUMO_TLS_KEY: {error}.") from error


def _changed(settings: Settings) -> tuple[float, ...]:
    """When the files of the certificate were last written."""
    files = (settings.tls_certificate, settings.tls_key)
    return tuple(file.stat().st_mtime for file in files if file is not None and file.exists())


def _config(app: "FastAPI | str", settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        # By their names: the parent of several processes speaks no HTTP.
        loop="service.protocol:Loop",
        http="service.protocol:Protocol",
        ws="none",
        lifespan="on",
        workers=settings.workers,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=settings.tls_client_authorities and str(settings.tls_client_authorities),
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_authorities else ssl.CERT_NONE,
        ssl_ciphers=CIPHERS,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        timeout_worker_healthcheck=HEALTH_CHECK_S,
    )
