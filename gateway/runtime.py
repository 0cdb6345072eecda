"""Wires one gateway and runs it until it is told to stop."""

import gc
import os
from contextlib import ExitStack, closing
from functools import partial

import structlog
from prometheus_client import REGISTRY

from gateway import web
from gateway.audit import Auditor
from gateway.config import Config, Tls, read_key
from gateway.courier import Courier
from gateway.destinations import Commitments
from gateway.intake import Intake, lock
from gateway.metrics import QueueCollector
from gateway.reader import Reader
from gateway.retention import Eraser
from gateway.scp import Listener
from gateway.service import Services
from gateway.store import Store
from gateway.tables import Instance
from gateway.watched_folders import WatchedFolders

log = structlog.get_logger()


def run(config: Config) -> None:
    """Take instances in and send results out, until SIGTERM or SIGINT.

    What is opened last is closed first: no more is taken, the steps at hand are finished, and the
    rest stays in the queue. InvalidConfiguration and StateInUse say why it does not start.
    """
    (config.service.tls or Tls()).context()
    key_files = [config.http.key_file, config.service.key_file]
    for file in (*key_files, *(destination.key_file for destination in config.destinations)):
        read_key(file)
    with ExitStack() as opened:
        opened.callback(os.close, lock(config.state_dir))
        store = opened.enter_context(closing(Store(config.database, config.state_dir)))
        REGISTRY.register(QueueCollector(store))
        services = opened.enter_context(closing(Services(config.service)))
        auditor = opened.enter_context(closing(Auditor(config.audit, config.dicom.ae_titles[0])))
        commitments = Commitments()
        couriers = [
            Courier(config, destination, store, auditor, commitments)
            for destination in config.destinations
        ]

        def on_result() -> None:
            for courier in couriers:
                courier.wake.set()

        reader = Reader(config, store, services, on_result)

        def on_arrival(instance: Instance) -> None:
            reader.wake.set()
            if instance.state != "parked":
                peer = instance.calling or instance.source
                auditor.transferred(peer, store.state_dir / instance.path, outgoing=False)

        intake = Intake(config, store, on_arrival)
        eraser, folders = Eraser(config.retention, store), WatchedFolders(config.watch_dirs, intake)
        # The dictionaries of DICOM stay as they are: no collection need look at them again.
        gc.collect()
        gc.freeze()
        for worker in (*couriers, reader, eraser, folders):
            worker.start()
            opened.callback(worker.close)
        listener = opened.enter_context(closing(Listener(config.dicom, intake, commitments)))
        site = web.Site(config, store, intake, services, auditor)
        listening = partial(log.info, "listening", dicom=listener.port, pid=os.getpid())
        web.serve(config.http, site.app, listening)
        log.info("stopping")
