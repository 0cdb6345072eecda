"""A page of the queue: states, retries, replay; no pixel, no name, identifiers for a key."""

from collections.abc import Iterable
from html import escape
from typing import Any

from gateway.audit import Auditor
from gateway.report import NOTICE
from gateway.store import QueueName, Store

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


def page(store: Store, auditor: Auditor, shown_to: str | None) -> str:
    """The page as HTML, with identifiers where ``shown_to`` is the address of who has the key."""
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
