"""Sends results to their destinations."""

import time
from functools import partial

from gateway.audit import Auditor
from gateway.config import Config, Destination
from gateway.destinations import Commitments, sender
from gateway.errors import Permanent
from gateway.metrics import TIME_TO_REPORT
from gateway.store import Store
from gateway.tables import Delivery
from gateway.worker import TaskWorker

_BATCH = 8
_LINGER_S = 5.0


class Courier(TaskWorker):
    """Sends to one destination."""

    def __init__(
        self,
        config: Config,
        destination: Destination,
        store: Store,
        auditor: Auditor,
        commitments: Commitments,
    ) -> None:
        super().__init__("courier", config, store)
        self._auditor = auditor
        self._destination = destination.name
        self._used_at = time.monotonic()
        self._sender = sender(destination, config.dicom.ae_titles[0], commitments)

    def step(self) -> bool:
        """Send some results; whether there were any."""
        deliveries = self._store.due(Delivery, _BATCH, to=self._destination)
        went, sent = bool(deliveries), list[Delivery]()
        for delivery in deliveries:
            went = self.attempt(delivery, partial(self._send, delivery, sent))
            # Where the destination is away, the others are tried in a while.
            if not went or self._is_closing:
                break
            self._used_at = time.monotonic()
        # What is not written down any more is sent again, and is the same object.
        self._store.finish_deliveries(sent)
        if not deliveries and time.monotonic() - self._used_at > _LINGER_S:
            self._sender.close()
        return went

    def close(self) -> None:
        """Finish the delivery at hand, and close the connection."""
        super().close()
        self._sender.close()

    def _send(self, delivery: Delivery, sent: list[Delivery]) -> None:
        result = delivery.result
        if not result.bundle:
            raise Permanent("The result has been erased.")
        objects = result.objects(self._config.state_dir)
        self._sender.send(objects, result.bundle)
        sent.append(delivery)
        TIME_TO_REPORT.labels(self._destination).observe(time.time() - result.last_arrival_at)
        self._auditor.transferred(self._destination, objects[0].file, outgoing=True)
