"""The HTTP listener: STOW-RS, the page of the queue, health, metrics."""

import base64
import binascii
import contextlib
import hmac
import ssl
import threading
import time
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from gateway import queue_page, stow
from gateway.audit import Auditor
from gateway.config import Config, Http, Tls, read_key
from gateway.errors import InvalidConfiguration, StorageFull
from gateway.intake import Intake
from gateway.service import Services
from gateway.store import Store
from gateway.stow import RETRY_AFTER
from gateway.tls import Certificates

log = structlog.get_logger()


class WebServer:
    """Serves in a thread of its own."""

    def __init__(
        self, config: Config, store: Store, intake: Intake, services: Services, auditor: Auditor
    ) -> None:
        app = create_app(config, store, intake, services, auditor)
        settings = uvicorn.Config(
            app, host=config.http.host, port=config.http.port, log_config=None, access_log=False
        )
        settings.load()
        if config.http.tls:
            settings.ssl = _reloading(config.http.tls)
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    def close(self) -> None:
        """Answer what has begun, and stop."""
        self._server.should_exit = True
        self._thread.join()


def create_app(
    config: Config, store: Store, intake: Intake, services: Services, auditor: Auditor
) -> FastAPI:
    """All routes."""
    app = FastAPI(title="Pneumoscope gateway", docs_url=None, redoc_url=None, openapi_url=None)

    has_key, needs_key = _checks(config.http)

    @app.get("/health/live")
    def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready")
    def ready() -> JSONResponse:
        try:
            intake.check_space()
            store.counts()
        except (StorageFull, SQLAlchemyError) as error:
            detail = {"status": "not ready", "reason": type(error).__name__}
            return JSONResponse(detail, 503, RETRY_AFTER)
        return JSONResponse({"status": "ready", "service": services.ready()})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app.include_router(stow.router(intake, config.http.max_body_bytes, needs_key))
    app.include_router(queue_page.router(store, auditor, has_key, needs_key))
    return app


def _checks(config: Http) -> tuple[Callable[[Request], bool], Callable[[Request], None]]:
    """What tells whether a request has the key, and what refuses it where it needs one."""

    def has_key(request: Request) -> bool:
        try:
            key = read_key(config.key_file)
        except (InvalidConfiguration, OSError, ValueError) as error:
            log.warning("no key", error=type(error).__name__)
            return False
        given = _given_key(request)
        return bool(key and given) and hmac.compare_digest(given.encode(), str(key).encode())

    def needs_key(request: Request) -> None:
        if config.key_file and not has_key(request):
            challenge = {"WWW-Authenticate": 'Basic realm="gateway"'}
            raise HTTPException(401, "the key is missing or wrong", challenge)
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise HTTPException(403, "a page of another site may not ask for this")

    return has_key, needs_key


def _given_key(request: Request) -> str:
    """The key of a client (Bearer), or of a browser (Basic, as the password)."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            return base64.b64decode(value).decode().partition(":")[2]
    return value if scheme.lower() == "bearer" else ""


def _reloading(tls: Tls) -> ssl.SSLContext:
    """A context that presents the certificate that is in the file at each handshake."""
    certificates = Certificates(tls, server=True)
    context = certificates.context()

    def present(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = certificates.context()

    context.sni_callback = present
    return context
