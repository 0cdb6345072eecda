"""A page of the queue: states, retries, replay; no pixel, no name, identifiers for a key."""

import contextlib
import html
from collections.abc import Callable, Sequence
from typing import Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gateway.audit import Auditor
from gateway.errors import Unacceptable
from gateway.headers import read_header
from gateway.report import NOTICE
from gateway.store import Queue, Row, Store

QueueName = Queue | Literal["instances"]
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
    "instances": ("id", "source", "calling", "rule", "reason"),
    "jobs": ("id", "unit", "rule", "calling", "attempts", "problem"),
    "deliveries": ("id", "destination", "attempts", "problem"),
}
_IDENTIFIERS = {"instances": ("sop_uid",), "jobs": ("uid",), "deliveries": ()}
_STYLE = "body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}"
Listed = Sequence[tuple[QueueName, str, Sequence[Row]]]


def router(
    store: Store,
    auditor: Auditor,
    has_key: Callable[[Request], bool],
    needs_key: Callable[..., None],
) -> APIRouter:
    """The routes of the page."""
    routes = APIRouter()

    @routes.get("/")
    def page(request: Request) -> HTMLResponse:
        shown = has_key(request)
        listed = [(q, state, store.listing(q, state, _SHOWN)) for q, state in _LISTED]
        if shown and auditor.wanted:
            by = request.client.host if request.client else ""
            _tell_of_access(store, auditor, by, [row for _, _, rows in listed for row in rows])
        return HTMLResponse(_page(store.counts(), listed, shown=shown))

    @routes.get("/login", dependencies=[Depends(needs_key)])
    def login() -> RedirectResponse:
        return RedirectResponse("/", 303)

    @routes.post("/replay/{queue}/{row_id}", dependencies=[Depends(needs_key)])
    def replay(queue: QueueName, row_id: int) -> RedirectResponse:
        store.replay(queue, row_id)
        return RedirectResponse("/", 303)

    return routes


def _tell_of_access(store: Store, auditor: Auditor, by: str, rows: Sequence[Row]) -> None:
    for row in rows:
        if "path" not in row or not row["size"]:
            continue
        with contextlib.suppress(Unacceptable):
            header = read_header(store.file(row["path"]))
            study, patient = header.get("StudyInstanceUID"), header.get("PatientID")
            auditor.accessed(by=by, study_uid=str(study or ""), patient_id=str(patient or ""))


def _page(
    counts: dict[str, dict[str, int]],
    listed: Listed,
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
        f"<style>{_STYLE}</style><h1>Gateway queue</h1><p>{NOTICE}</p>"
        f"<p>{html.escape(totals)}</p>{hint}{tables}"
    )


def _table(queue: str, state: str, rows: Sequence[Row], *, shown: bool) -> str:
    if not rows:
        return ""
    names = _COLUMNS[queue] + (_IDENTIFIERS[queue] if shown else ())
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
