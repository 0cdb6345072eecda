"""The HTTP listener: STOW-RS, health, metrics, and a page of the queue."""

import base64
import binascii
import contextlib
import hmac
import html
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from sqlalchemy.exc import SQLAlchemyError

from gateway.audit import Auditor
from gateway.config import Config, Tls, read_key
from gateway.errors import StorageFull, Unacceptable
from gateway.headers import read_header, read_meta
from gateway.intake import Intake
from gateway.metrics import RECEIVED, REFUSED
from gateway.report import NOTICE
from gateway.service import Services
from gateway.store import Queue, Row, Store
from gateway.tls import Certificates

_DICOM_JSON = "application/dicom+json"
_RETRY_AFTER = {"Retry-After": "30"}
# Source: DICOM PS3.18 table I.2-2.
_OUT_OF_RESOURCES = 0xA700
_CANNOT_UNDERSTAND = 0xC000
_SHOWN = 50


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
    """The routes."""
    app = FastAPI(title="Pneumoscope gateway", docs_url=None, redoc_url=None, openapi_url=None)

    def has_key(request: Request) -> bool:
        key = read_key(config.http.key_file)
        return key is not None and hmac.compare_digest(_given_key(request), key)

    def needs_key(request: Request) -> None:
        if config.http.key_file and not has_key(request):
            challenge = {"WWW-Authenticate": 'Basic realm="gateway"'}
            raise HTTPException(401, "the key is missing or wrong", challenge)
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise HTTPException(403, "a page of another site may not ask for this")

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
            return JSONResponse(detail, 503, _RETRY_AFTER)
        return JSONResponse({"status": "ready", "service": services.ready()})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/")
    def page(request: Request) -> HTMLResponse:
        shown = has_key(request)
        listed = list(_listing(store))
        if shown and auditor.wanted:
            by = request.client.host if request.client else ""
            _tell_of_access(auditor, by, [row for _, _, rows in listed for row in rows])
        return HTMLResponse(_page(store.counts(), listed, shown=shown))

    @app.get("/login", dependencies=[Depends(needs_key)])
    def login() -> RedirectResponse:
        return RedirectResponse("/", 303)

    @app.post("/replay/{queue}/{row_id}", dependencies=[Depends(needs_key)])
    def replay(queue: Queue | Literal["instances"], row_id: int) -> RedirectResponse:
        store.replay(queue, row_id)
        return RedirectResponse("/", 303)

    @app.post("/studies", dependencies=[Depends(needs_key)])
    @app.post("/studies/{study}", dependencies=[Depends(needs_key)])
    async def stow(request: Request, study: str | None = None) -> JSONResponse:
        try:
            intake.check_space()
        except StorageFull as error:
            raise HTTPException(503, str(error), _RETRY_AFTER) from error
        parts = await _receive(request, intake.incoming, config.http.max_body_bytes)
        return await run_in_threadpool(_take, intake, parts, study)

    return app


class _Parts:
    """Writes the parts of a multipart body to files, as they come."""

    def __init__(self, boundary: bytes, folder: Path) -> None:
        self._folder = folder
        self._open: BinaryIO | None = None
        self.files: list[Path] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self.close,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._parser.write(chunk)

    def finish(self) -> None:
        """Tell that there is no more."""
        self._parser.finalize()
        self.close()

    def close(self) -> None:
        """Close the file at hand."""
        if self._open:
            self._open.close()
            self._open = None

    def discard(self) -> None:
        """Remove what was written."""
        self.close()
        for file in self.files:
            file.unlink(missing_ok=True)

    def _begin(self) -> None:
        self.files.append(self._folder / f"{uuid.uuid4().hex}.dcm")
        self._open = self.files[-1].open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        assert self._open is not None
        self._open.write(data[start:end])


async def _receive(request: Request, folder: Path, limit: int) -> list[Path]:
    """Write the parts of a STOW-RS body to files.

    Source: DICOM PS3.18 10.5.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    boundary = options.get(b"boundary")
    declared = options.get(b"type", b"application/dicom").lower()
    if kind != b"multipart/related" or not boundary or declared != b"application/dicom":
        raise HTTPException(415, 'send multipart/related; type="application/dicom" with a boundary')
    parts = _Parts(boundary, folder)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise HTTPException(413, f"a body may have {limit} bytes")
            parts.feed(chunk)
        parts.finish()
    except FormParserError as error:
        parts.discard()
        raise HTTPException(400, "the multipart body is malformed") from error
    except BaseException:
        parts.discard()
        raise
    return parts.files


def _take(intake: Intake, files: Sequence[Path], study: str | None) -> JSONResponse:
    """Take each part for itself, and say of each what became of it."""
    kept, failed = [], []
    for file in files:
        reference: dict[str, Any] = {}
        try:
            reference = _reference(file)
            if study and str(read_header(file, routing_only=True).StudyInstanceUID) != study:
                raise Unacceptable("It is of another study.")
            outcome = intake.take(file, "stow")
            RECEIVED.labels("stow", outcome).inc()
            kept.append(reference)
        except (Unacceptable, StorageFull, OSError, SQLAlchemyError) as error:
            file.unlink(missing_ok=True)
            understood = not isinstance(error, Unacceptable)
            REFUSED.labels("not kept" if understood else "unacceptable").inc()
            reason = _OUT_OF_RESOURCES if understood else _CANNOT_UNDERSTAND
            failed.append({**reference, "00081197": {"vr": "US", "Value": [reason]}})
    body = {}
    if kept:
        body["00081199"] = {"vr": "SQ", "Value": kept}
    if failed:
        body["00081198"] = {"vr": "SQ", "Value": failed}
    status = 200 if not failed else 202 if kept else 409
    return JSONResponse(body, status, media_type=_DICOM_JSON)


def _reference(file: Path) -> dict[str, Any]:
    meta = read_meta(file)
    return {
        "00081150": {"vr": "UI", "Value": [str(meta.get("MediaStorageSOPClassUID", ""))]},
        "00081155": {"vr": "UI", "Value": [str(meta.get("MediaStorageSOPInstanceUID", ""))]},
    }


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


def _listing(store: Store) -> Iterator[tuple[str, str, Sequence[Row]]]:
    for queue, states in {
        "jobs": ("waiting", "parked"),
        "deliveries": ("waiting", "parked"),
        "instances": ("parked", "ignored"),
    }.items():
        for state in states:
            yield queue, state, store.listing(queue, state, _SHOWN)  # type: ignore[arg-type]


def _tell_of_access(auditor: Auditor, by: str, rows: Sequence[Row]) -> None:
    for row in rows:
        if "path" not in row or not row["size"]:
            continue
        with contextlib.suppress(Unacceptable):
            header = read_header(Path(row["path"]))
            study, patient = header.get("StudyInstanceUID"), header.get("PatientID")
            auditor.accessed(by=by, study_uid=str(study or ""), patient_id=str(patient or ""))


def _page(
    counts: dict[str, dict[str, int]],
    listed: Sequence[tuple[str, str, Sequence[Row]]],
    *,
    shown: bool,
) -> str:
    totals = "; ".join(
        f"{queue}: {', '.join(f'{n} {state}' for state, n in sorted(states.items())) or 'none'}"
        for queue, states in counts.items()
    )
    hint = "" if shown else '<p><a href="/login">Show identifiers</a> with the key.</p>'
    tables = "".join(_table(queue, state, rows, shown=shown) for queue, state, rows in listed)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Gateway queue</title>'
        "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}"
        f"</style><h1>Gateway queue</h1><p>{NOTICE}</p><p>{html.escape(totals)}</p>{hint}{tables}"
    )


def _table(queue: str, state: str, rows: Sequence[Row], *, shown: bool) -> str:
    if not rows:
        return ""
    names = {
        "instances": ("id", "source", "calling", "rule", "reason"),
        "jobs": ("id", "unit", "rule", "calling", "attempts", "problem"),
        "deliveries": ("id", "destination", "attempts", "problem"),
    }[queue]
    names += {"instances": ("sop_uid",), "jobs": ("uid",), "deliveries": ()}[queue] if shown else ()
    head = "".join(f"<th>{name}</th>" for name in names)
    lines = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(str(row[name] or ''))}</td>" for name in names)
        + (_button(queue, row["id"]) if state != "waiting" else "")
        + "</tr>"
        for row in rows
    )
    return f"<h2>{queue}: {state}</h2><table><tr>{head}</tr>{lines}</table>"


def _button(queue: str, row_id: int) -> str:
    action = f"/replay/{queue}/{row_id}"
    return f'<td><form method="post" action="{action}"><button>Replay</button></form></td>'
