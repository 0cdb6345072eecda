"""Wires one gateway and runs it until it is told to stop."""

import gc
import os
import signal
import threading
from collections.abc import Sequence
from functools import partial

import structlog
from prometheus_client import REGISTRY

from gateway.audit import Auditor
from gateway.commitment import Commitments
from gateway.config import Config, read_key
from gateway.folder import WatchedFolders
from gateway.intake import Intake, lock
from gateway.metrics import QueueCollector
from gateway.retention import Eraser
from gateway.scp import Listener
from gateway.service import Services
from gateway.store import Store
from gateway.tables import Instance
from gateway.web import Site, WebServer
from gateway.work import Courier, Reader, Worker

log = structlog.get_logger()


class Gateway:
    """One gateway, with the state folder in its hands."""

    def __init__(self, config: Config) -> None:
        self._held = lock(config.state_dir)
        self._store = store = Store(config.database, config.state_dir)
        REGISTRY.register(QueueCollector(store))
        self._services = Services(config.service)
        self._auditor = Auditor(config.audit, config.dicom.ae_titles[0])
        intake = Intake(config, store)
        commitments = Commitments()
        self._reader = Reader(config, store, self._services)
        self._couriers = [
            Courier(config, destination, store, self._auditor, commitments)
            for destination in config.destinations
        ]
        self._reading = Worker("reader", self._reader.step)
        sending = [Worker("courier", courier.step) for courier in self._couriers]
        self._reader.on_result = partial(_wake, sending)
        intake.on_arrival = self._on_arrival
        folders = WatchedFolders(config.watch_dirs, intake)
        eraser = Eraser(config.retention, store)
        self._workers = [
            self._reading,
            *sending,
            *([Worker("folders", folders.step)] if config.watch_dirs else []),
            Worker("eraser", eraser.step),
        ]
        self._listener = Listener(config.dicom, intake, commitments)
        site = Site(config, store, intake, self._services, self._auditor)
        self._web = WebServer(config.http, site)

    def start(self) -> None:
        """Begin with what is in the queue."""
        # The dictionaries of DICOM stay as they are: no collection need look at them again.
        gc.collect()
        gc.freeze()
        for worker in self._workers:
            worker.start()
        self._auditor.started()
        log.info("listening", dicom=self._listener.port, http=self._web.port, pid=os.getpid())

    def close(self) -> None:
        """Take no more, finish the steps at hand, and leave the rest in the queue."""
        self._listener.close()
        self._web.close()
        for worker in self._workers:
            worker.close()
        self._reader.close()
        for courier in self._couriers:
            courier.close()
        self._auditor.stopped()
        self._auditor.close()
        self._services.close()
        self._store.close()
        os.close(self._held)

    def _on_arrival(self, instance: Instance) -> None:
        self._reading.wake.set()
        if instance.state != "parked":
            peer = instance.calling or instance.source
            self._auditor.transferred(peer, self._store.file(instance.path), outgoing=False)


def _wake(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.wake.set()


def run(config: Config) -> None:
    """Take instances in and send results out, until SIGTERM or SIGINT.

    Raises:
        InvalidConfiguration: A certificate cannot be read, or a key is empty.
        StateInUse: Another gateway has the state folder open.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    key_files = [config.http.key_file, config.service.key_file]
    for file in [*key_files, *(destination.key_file for destination in config.destinations)]:
        read_key(file)
    gateway = Gateway(config)
    gateway.start()
    stop.wait()
    log.info("stopping")
    gateway.close()
