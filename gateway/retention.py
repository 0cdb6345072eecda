"""Erases what is no longer needed: received files and sent results, by age and size."""

import time
from pathlib import Path

import structlog

from gateway.config import Retention
from gateway.store import Store

_EVERY_S = 60.0

log = structlog.get_logger()


class Eraser:
    """Looks once a minute. UIDs and keys stay, so that nothing is done twice."""

    def __init__(self, config: Retention, store: Store) -> None:
        self._config = config
        self._store = store
        self._next_at = 0.0

    def step(self) -> bool:
        """Erase what is due."""
        if time.monotonic() < self._next_at:
            return False
        self._next_at = time.monotonic() + _EVERY_S
        self.erase()
        return False

    def erase(self) -> int:
        """Erase what is too old, then the oldest beyond the size; how many files went."""
        before = time.time() - self._config.max_age_h * 3600
        aged = list(self._store.erasable(before))
        excess = self._store.bytes_held() - sum(r["size"] for r in aged) - self._config.max_bytes
        known = {row["id"] for row in aged}
        for row in self._store.erasable(time.time()):
            if excess > 0 and row["id"] not in known:
                aged.append(row)
                excess -= row["size"]
        sent = self._store.sent_before(before)
        for row in aged:
            self._store.file(row["path"]).unlink(missing_ok=True)
        for row in sent:
            for made in self._store.objects_of(row["key"]):
                Path(made.path).unlink(missing_ok=True)
            self._store.file(row["bundle_path"]).unlink(missing_ok=True)
        self._store.mark_erased([row["id"] for row in aged], [row["key"] for row in sent])
        if aged or sent:
            log.info("erased", received=len(aged), results=len(sent))
        return len(aged) + len(sent)
