"""Erases what is no longer needed, by age and size."""

import time
from collections.abc import Sequence
from typing import TypeVar

import structlog

from gateway.config import Retention
from gateway.store import BATCH, Store
from gateway.tables import Instance, Result
from gateway.worker import Worker

Held = TypeVar("Held", Instance, Result)
_ERASING_EVERY_S = 60.0

log = structlog.get_logger()


class Eraser(Worker):
    """Looks once a minute. UIDs and keys stay, so that nothing is done twice."""

    def __init__(self, config: Retention, store: Store) -> None:
        super().__init__("eraser")
        self._config = config
        self._store = store
        self._next_at = 0.0

    def step(self) -> bool:
        """Erase a batch of what is too old or beyond the size; whether there may be more."""
        if time.monotonic() < self._next_at:
            return False
        # Set first: what fails is tried again in a minute, and not at once.
        self._next_at = time.monotonic() + _ERASING_EVERY_S
        before = time.time() - self._config.max_age_h * 3600
        excess = self._store.bytes_held() - self._config.max_bytes
        received = _due(self._store.erasable(), before, excess)
        # Where there may be more received files, they go before any result.
        excess = 0 if len(received) == BATCH else excess - sum(each.size for each in received)
        sent = _due(self._store.sent(), before, excess)
        files = [self._store.state_dir / instance.path for instance in received]
        for result in sent:
            files += [made.file for made in result.objects(self._store.state_dir)]
        for file in files:
            file.unlink(missing_ok=True)
        if files:
            self._store.mark_erased(received, sent)
            log.info("erased", received=len(received), results=len(sent))
        is_more = BATCH in (len(received), len(sent))
        if is_more:
            self._next_at = 0.0
        return is_more


def _due(held: Sequence[Held], before: float, excess: int) -> list[Held]:
    """Of what is held, oldest first, what is too old or makes up the excess."""
    due = []
    for each in held:
        since = each.received_at if isinstance(each, Instance) else each.created_at
        if since < before or excess > 0:
            due.append(each)
            excess -= each.size
    return due
