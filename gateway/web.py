"""The HTTP listener: STOW-RS, health, metrics, and a page of the queue.

The page has states, retries and replay; no pixel, no name, and identifiers for a key alone.
"""

import base64
import hmac
import signal
import socket
import ssl
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway import stow
from gateway.audit import Auditor
from gateway.config import Config, Http, Tls, read_key
from gateway.errors import InvalidConfiguration, StorageFull
from gateway.intake import Intake, replay
from gateway.page_report import report_route
from gateway.report import NOTICE
from gateway.service import Services
from gateway.store import QUEUES, QueueName, Store

log = structlog.get_logger()
_SHOWN = 50
_LISTED: tuple[tuple[QueueName, str], ...] = (
    ("jobs", "waiting"),
    ("jobs", "parked"),
    ("deliveries", "waiting"),
    ("deliveries", "parked"),
    ("instances", "parked"),
    ("instances", "ignored"),
)
_COLUMNS = {
    "instances": ("id", "source", "calling", "rule", "reason", "sop_uid"),
    "jobs": ("id", "unit", "rule", "calling", "attempts", "problem", "uid"),
    "deliveries": ("id", "destination", "attempts", "problem"),
}
_IDENTIFIERS = ("sop_uid", "uid")
# Where a row has the number of an instance whose identifiers it shows.
_INSTANCE = {"instances": "id", "jobs": "instance_id"}
_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Gateway queue</title>'
    "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}</style>"
    f"<h1>Gateway queue</h1><p>{NOTICE}</p>"
)


class Site:
    """What the listener answers. What is no coroutine runs in a thread."""

    def __init__(
        self, config: Config, store: Store, intake: Intake, services: Services, auditor: Auditor
    ) -> None:
        self._config = config.http
        self._rules = config.rules
        self._store = store
        self._intake = intake
        self._services = services
        self._auditor = auditor
        self.app = Starlette(
            routes=[
                Route("/health/live", lambda _request: JSONResponse({"status": "live"})),
                Route("/health/ready", self._ready),
                Route("/metrics", _metrics),
                Route("/", self._page),
                Route("/login", self._login),
                Route("/replay/{queue}/{row_id:int}", self._replay, methods=["POST"]),
                Route("/studies", self._store_instances, methods=["POST"]),
                Route("/studies/{study}", self._store_instances, methods=["POST"]),
            ]
        )
        if config.http.page_origins:
            self.app.routes.append(report_route(config.http, intake, services))

    def _ready(self, _request: Request) -> Response:
        try:
            self._intake.check_space()
            self._store.counts()
        except (StorageFull, SQLAlchemyError) as error:
            detail = {"status": "not ready", "reason": type(error).__name__}
            return JSONResponse(detail, 503, stow.RETRY_AFTER)
        return JSONResponse({"status": "ready", "service": self._services.ready()})

    def _page(self, request: Request) -> Response:
        by = request.client.host if request.client else ""
        shown_to = by if has_key(self._config, request) else None
        return HTMLResponse(_queue_page(self._store, self._auditor, shown_to))

    def _login(self, request: Request) -> Response:
        check_key(self._config, request)
        return RedirectResponse("/", 303)

    def _replay(self, request: Request) -> Response:
        check_key(self._config, request)
        queue, row_id = request.path_params["queue"], request.path_params["row_id"]
        if queue not in QUEUES:
            raise HTTPException(404, "there is no such queue")
        replay(self._rules, self._store, queue, row_id)
        return RedirectResponse("/", 303)

    async def _store_instances(self, request: Request) -> Response:
        check_key(self._config, request)
        return await stow.store_instances(request, self._intake, self._config.max_body_bytes)


def _metrics(_request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _queue_page(store: Store, auditor: Auditor, shown_to: str | None) -> str:
    """The queue as HTML, with identifiers where ``shown_to`` is the address of who has the key."""
    totals = "; ".join(
        f"{queue}: {', '.join(f'{n} {state}' for state, n in sorted(states.items())) or 'none'}"
        for queue, states in store.counts().items()
    )
    named: set[int] = set()
    parts = [_HEAD, f"<p>{escape(totals)}</p>"]
    if shown_to is None:
        parts += ['<p><a href="/login">Show identifiers</a> with the key.</p>']
    for queue, state in _LISTED:
        if rows := store.listing(queue, state, _SHOWN):
            table = _table(queue, state, rows, is_shown=shown_to is not None)
            parts += [f"<h2>{queue}: {state}</h2>", table]
        if queue in _INSTANCE:
            named |= {row[_INSTANCE[queue]] for row in rows}
    if shown_to is not None:
        for file in store.files_of(named):
            auditor.accessed(shown_to, file)
    return "".join(parts)


def _table(queue: QueueName, state: str, rows: Iterable[dict[str, Any]], *, is_shown: bool) -> str:
    names = [name for name in _COLUMNS[queue] if is_shown or name not in _IDENTIFIERS]
    lines = ["".join(f"<th>{name}</th>" for name in names)]
    for row in rows:
        line = "".join(f"<td>{escape(str(row[name] or ''))}</td>" for name in names)
        if state != "waiting":
            action = f"/replay/{queue}/{row['id']}"
            button = f'<form method="post" action="{action}"><button>Replay</button></form>'
            line += f"<td>{button}</td>"
        lines.append(line)
    return f"<table><tr>{'</tr><tr>'.join(lines)}</tr></table>"


def serve(config: Http, app: Starlette, on_listening: Callable[..., object]) -> None:
    """Answer until SIGTERM or SIGINT, then finish what has begun."""
    settings = uvicorn.Config(app, log_config=None, access_log=False)
    settings.load()
    if config.tls:
        settings.ssl = _reloading(config.tls)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.create_server((config.host, config.port), family=family)
    on_listening(http=listening.getsockname()[1])
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops at them, and then raises them once more.
        signal.signal(number, lambda *_: None)
    uvicorn.Server(settings).run(sockets=[listening])


def has_key(config: Http, request: Request) -> bool:
    """Whether a request has the key; an empty or missing one opens nothing."""
    try:
        key = read_key(config.key_file)
    except (InvalidConfiguration, OSError, ValueError) as error:
        log.warning("no key", error=type(error).__name__)
        return False
    given = _given_key(request)
    return bool(key and given) and hmac.compare_digest(given.encode(), str(key).encode())


def check_key(config: Http, request: Request) -> None:
    """Refuse a request that lacks the key, where there is one, or is of another site's page."""
    if config.key_file and not has_key(config, request):
        challenge = {"WWW-Authenticate": 'Basic realm="gateway"'}
        raise HTTPException(401, "the key is missing or wrong", challenge)
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise HTTPException(403, "a page of another site may not ask for this")


def _given_key(request: Request) -> str:
    """The key of a client (Bearer), or of a browser (Basic, as the password)."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return ""
    return value if scheme.lower() == "bearer" else ""


def _reloading(tls: Tls) -> ssl.SSLContext:
    """A context that presents the certificate that is in the file at each handshake."""
    context = tls.context(server=True)

    def present(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = tls.context(server=True)

    context.sni_callback = present
    return context
