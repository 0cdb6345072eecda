"""Erases what is no longer needed: received files and sent results, by age and size."""

import time

import structlog

from gateway.config import Retention
from gateway.store import Store
from gateway.worker import Worker

_EVERY_S = 60.0

log = structlog.get_logger()


class Eraser(Worker):
    """Looks once a minute. UIDs and keys stay, so that nothing is done twice."""

    def __init__(self, config: Retention, store: Store) -> None:
        super().__init__("eraser")
        self._config = config
        self._store = store
        self._next_at = 0.0

    def step(self) -> bool:
        """Erase what is due, first what is too old, then the oldest beyond the size."""
        if time.monotonic() < self._next_at:
            return False
        self._next_at = time.monotonic() + _EVERY_S
        before = time.time() - self._config.max_age_h * 3600
        excess = self._store.bytes_held() - self._config.max_bytes
        received = []
        for instance in self._store.erasable():
            if instance.received_at < before or excess > 0:
                received.append(instance)
                excess -= instance.size
        sent = self._store.sent_before(before)
        files = [self._store.file(instance.path) for instance in received]
        for result in sent:
            files += [made.file for made in result.objects(self._store.state_dir)]
        for file in files:
            file.unlink(missing_ok=True)
        if files:
            self._store.mark_erased(received, sent)
            log.info("erased", received=len(received), results=len(sent))
        return False
