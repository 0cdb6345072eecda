"""The inside of an engine: one process, one thread, one file after another."""

import contextlib
import signal
import socket
import time
from dataclasses import dataclass, replace
from typing import Self

from contract.errors import ContractError
from contract.manifest import ModelManifest, Precision
from contract.segmenter import SegmenterManifest
from service.answering import read_and_answer
from service.batch_plan import BatchPlan, warm
from service.engines.mailbox import Mailbox
from service.engines.wire import LONGEST_MESSAGE, ORDER, READY, RESULT, Order, pack
from service.errors import InferenceFailed, ServiceError
from service.logs import file_failed, silence_quoting_libraries
from service.lungs import LungSegmenter
from service.prediction import Upload
from service.reading import Reader
from service.repository import ModelRepository, ServedModel, by_name_and_version
from service.session import ModelOutput, OnnxGraph, OnnxSession, SessionOptions
from service.stages import finish

MAILBOXES = 2
"""So many files an engine has at a time: the one it reads, and one that waits beside it."""


@dataclass(frozen=True, slots=True)
class _Model:
    """A served model, without what a process cannot be sent."""

    file: bytes
    manifest: ModelManifest
    plan: BatchPlan
    precision: Precision
    provider: str

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        return cls(model.file, model.manifest, model.plan, model.precision, model.session.provider)

    def load(self, options: SessionOptions) -> ServedModel:
        """Load and warm it, unless its images are run elsewhere."""
        served = ServedModel(
            self.manifest, _RunsElsewhere(self.provider), self.plan, self.precision
        )
        if served.queued:
            return served
        session = OnnxSession(self.file, self.manifest, options)
        warm(session, self.manifest, self.plan)
        return replace(served, session=session)


@dataclass(frozen=True, slots=True)
class EngineModels:
    """All that an engine has to know. Two that are equal serve the same models in the same way."""

    models: tuple[_Model, ...]
    default: str
    segmenter: tuple[bytes, SegmenterManifest] | None
    intra_op_threads: int
    max_pixels: int

    @classmethod
    def of(cls, repository: ModelRepository, intra_op_threads: int, max_pixels: int) -> Self:
        """What an engine has to know of models that are loaded here."""
        lungs = repository.segmenter
        return cls(
            tuple(map(_Model.of, repository.all())),
            repository.default,
            None if lungs is None else (lungs.file, lungs.manifest),
            intra_op_threads,
            max_pixels,
        )

    def open(self) -> Reader:
        """Load everything.

        Raises:
            ContractError: A graph cannot be loaded any more.
            InferenceFailed: A model did not run.
        """
        options = SessionOptions("cpu", self.intra_op_threads)
        lungs = None
        if self.segmenter is not None:
            file, manifest = self.segmenter
            lungs = LungSegmenter(manifest, OnnxGraph(file, manifest, options), file)
            lungs.warm()
        models = by_name_and_version(model.load(options) for model in self.models)
        return Reader(ModelRepository(models, self.default, lungs), self.max_pixels)


@dataclass(frozen=True, slots=True)
class _RunsElsewhere:
    """In the place of a session that the service itself has, for batches or on an accelerator."""

    provider: str

    def run(self, images: object, *, activation_map: bool = False) -> ModelOutput:  # noqa: ARG002
        raise InferenceFailed("This model does not run in an engine.")


def serve_engine(channel: socket.socket, models: EngineModels) -> None:
    """Be an engine, until the other end of the channel is closed.

    Args:
        channel: Sequenced packets: first the descriptors of the mailboxes, then orders.
        models: What to serve.
    """
    # Who stops the service stops this too, but only after the last answer.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    silence_quoting_libraries()
    # The other end may be gone at any time; there is nobody to tell.
    with channel, contextlib.suppress(ConnectionError):
        _, descriptors, *_ = socket.recv_fds(channel, 1, MAILBOXES)
        if not descriptors:
            return
        try:
            reader = models.open()
        except (ContractError, ServiceError) as error:
            channel.send(str(error).encode())
            return
        channel.send(READY)
        _serve(channel, [Mailbox(each) for each in descriptors], reader)


def _serve(channel: socket.socket, mailboxes: list[Mailbox], reader: Reader) -> None:
    while message := channel.recv(LONGEST_MESSAGE):
        number, size = ORDER.unpack_from(message)
        started = time.perf_counter()
        result = _result(Order.unpack(message[ORDER.size :]), mailboxes[number], size, reader)
        ran_s = time.perf_counter() - started
        if len(result) + RESULT.size <= LONGEST_MESSAGE:
            channel.send(RESULT.pack(number, 0, ran_s) + result)
        else:
            channel.send(RESULT.pack(number, len(result), ran_s))


def _result(order: Order, mailbox: Mailbox, size: int, reader: Reader) -> bytes:
    """Answer an order; a result that is too long for a message is left in the mailbox."""
    try:
        upload = Upload(None, (mailbox.read(size),))
        model = None if order.model is None else reader.repository.get(*order.model)
        result = pack(finish(read_and_answer(upload, model, reader, order.options())))
        if len(result) + RESULT.size > LONGEST_MESSAGE:
            mailbox.make_room(len(result))
            mailbox.put(0, result)
    except ServiceError as error:
        return pack(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next file is read
        return pack(file_failed(error))
    return result
