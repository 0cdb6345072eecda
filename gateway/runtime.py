"""Wires one gateway and runs it until it is told to stop."""

import os
import signal
import threading

import structlog

from gateway.audit import Auditor
from gateway.commitment import Commitments
from gateway.config import Config
from gateway.folder import WatchedFolders
from gateway.intake import Intake, lock
from gateway.metrics import register
from gateway.retention import Eraser
from gateway.scp import Listener
from gateway.service import Services
from gateway.store import Store
from gateway.web import WebServer
from gateway.work import Courier, Reader, Router, Worker

log = structlog.get_logger()


def run(config: Config) -> None:
    """Take instances in and send results out, until SIGTERM or SIGINT.

    Raises:
        InvalidConfiguration: A certificate cannot be read.
        StateInUse: Another gateway has the state folder open.
    """
    held = lock(config.state_dir)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = Store(config.database)
    register(store)
    services = Services(config.service)
    auditor = Auditor(config.audit, config.dicom.ae_titles[0])
    intake = Intake(config, store)
    commitments = Commitments()
    router = Router(config, store, auditor)
    reader = Reader(config, store, services)
    couriers = {
        d.name: Courier(config, d.name, store, auditor, commitments) for d in config.destinations
    }
    reading = Worker("reader", reader.step)
    sending = [Worker(name, courier.step) for name, courier in couriers.items()]

    def route() -> bool:
        moved = router.step()
        if moved:
            reading.wake.set()
        return moved

    def deliver() -> None:
        for worker in sending:
            worker.wake.set()

    routing = Worker("router", route)
    intake.on_arrival = routing.wake.set
    reader.on_result = deliver
    workers = [
        routing,
        reading,
        *sending,
        Worker("folders", WatchedFolders(config.watch_dirs, intake).step),
        Worker("eraser", Eraser(config.retention, store).step),
    ]
    for worker in workers:
        worker.start()
    listener = Listener(config.dicom, intake, commitments)
    web = WebServer(config, store, intake, services, auditor)
    auditor.started()
    log.info("listening", dicom=listener.port, http=web.port, pid=os.getpid())
    stop.wait()
    log.info("stopping")
    listener.close()
    web.close()
    for worker in workers:
        worker.close()
    reader.close()
    for courier in couriers.values():
        courier.close()
    auditor.stopped()
    auditor.close()
    services.close()
    store.close()
    os.close(held)
