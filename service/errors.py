"""What the service can refuse, and the one table that turns every error into a problem detail.

Source: RFC 9457 (problem details), RFC 9110 section 15 (status codes).
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract import errors as contract

NOT_READY_RETRY_S = 5
UPLOADS_RETRY_S = 5
DEVICE_LOST_RETRY_S = 60


class ServiceError(Exception):
    """Base of every error that this package raises."""

    retry_after_s: int | None = None


class StartError(ServiceError):
    """The service cannot start."""


class InvalidConfiguration(StartError):
    """A setting or a key file cannot be used."""


class RequestError(ServiceError):
    """The request cannot be answered as it stands."""


class NoFile(RequestError):
    """No image came with the request."""


class TooManyFiles(RequestError):
    """More files than one request may have."""


class MalformedMultipart(RequestError):
    """The multipart body cannot be taken apart."""


class MalformedInference(RequestError):
    """No request of the Open Inference Protocol, or none that this model takes."""


class UnsupportedMediaType(RequestError):
    """A body of a type that holds no image, whatever is in it."""


class NotAcceptable(RequestError):
    """The client does not accept what there is to be had."""


class HeadersTooLarge(RequestError):
    """More headers, or more bytes of them, than a request may have."""


class UnknownParameter(RequestError):
    """A parameter that the route does not have, or that is given two values."""


class UnsupportedEncoding(RequestError):
    """A Content-Encoding that is not undone here."""


class MalformedEncoding(RequestError):
    """A body that is not in its Content-Encoding, or breaks off."""


class BodyTooLarge(RequestError):
    """More bytes than a body may have."""


class HeadTimeout(RequestError):
    """The head of a request did not arrive in time."""


class MisdirectedRequest(RequestError):
    """The request is for another host."""


class CrossOrigin(RequestError):
    """A web page of another origin asks for what it may not."""


class BodyTimeout(RequestError):
    """The body did not arrive in time."""


class Unauthenticated(RequestError):
    """No key, or a wrong one."""


class Forbidden(RequestError):
    """The key does not have the scope."""


class UnknownModel(RequestError):
    """No model of that name, or not that version."""


class FileTooCostly(RequestError):
    """Decoding the file takes more time or memory than one file may take."""


class UnknownAnswer(RequestError):
    """The audit trail has no such answer."""


class NoTrail(RequestError):
    """There is no audit trail, which the request needs."""


class ReloadRefused(RequestError):
    """The served models cannot be changed in that way."""


class ClientDisconnected(RequestError):
    """Nobody waits for the answer any more."""


class Overloaded(ServiceError):
    """Too much work; trying again later helps."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(Overloaded):
    """The bounded number of images is in flight."""


class TooManyUploads(Overloaded):
    """All bodies together have more bytes than they may."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UPLOADS_RETRY_S)


class RateExceeded(Overloaded):
    """One caller has asked more often than it may."""


class DeadlineExceeded(Overloaded):
    """The request was not served in time."""


class Unavailable(ServiceError):
    """The service answers nobody just now."""

    retry_after_s = NOT_READY_RETRY_S


class NotReady(Unavailable):
    """The models are still loading, or did not load."""


class ShuttingDown(Unavailable):
    """The service finishes what it accepted, and stops."""


class DeviceLost(Unavailable):
    """The accelerator does not run any more."""

    retry_after_s = DEVICE_LOST_RETRY_S


class AuditUnavailable(Unavailable):
    """What was done cannot be put down in the audit trail, so it is not answered."""


class InferenceFailed(ServiceError):
    """The model did not run."""


class FileFailed(ServiceError):
    """A file met an error that nobody foresaw.

    It keeps that error's kind and places alone: its message may quote the file, and its traceback
    holds the pixels.
    """

    def __init__(self, message: str, kind: str = "", places: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.places = places


class OutOfMemory(FileFailed):
    """There was not enough memory for a file."""


def file_failed(error: Exception) -> FileFailed:
    """What may be told of an error that nobody foresaw, which may quote the file itself."""
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        return OutOfMemory("Try again later, or send a smaller image.", kind, where(error))
    return FileFailed("The file could not be read.", kind, where(error))


def where(error: BaseException) -> list[str]:
    """The places that an error came through, without its message, which may quote a file."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in frames]


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem. ``slug`` is a stable part of its address, ``/problems/<slug>``."""

    status: int
    slug: str
    title: str


INVALID_PARAMETER = ProblemType(422, "invalid-parameter", "A parameter has an unknown value")
NOT_FOUND = ProblemType(404, "not-found", "There is nothing at this address")
METHOD_NOT_ALLOWED = ProblemType(405, "method-not-allowed", "This address has no such method")
INTERNAL = ProblemType(500, "internal-error", "Something unforeseen went wrong")
FILE_TOO_COSTLY = ProblemType(
    413, "file-too-costly", "Decoding the file takes too much time or memory"
)
NOT_READY = ProblemType(503, "not-ready", "The models are not loaded")

PROBLEM_TYPES: dict[type[Exception], ProblemType] = {
    contract.ImageError: ProblemType(422, "unusable-image", "The image cannot be used"),
    contract.NotAnImage: ProblemType(422, "not-an-image", "The file is not an image"),
    contract.CorruptImage: ProblemType(422, "corrupt-image", "The image is damaged"),
    contract.PixelDataMismatch: ProblemType(
        422, "pixel-data-mismatch", "The pixel data does not match its header"
    ),
    contract.UnsupportedFormat: ProblemType(
        415, "unsupported-format", "The image format is not supported"
    ),
    contract.UnsupportedTransferSyntax: ProblemType(
        415, "unsupported-transfer-syntax", "The DICOM transfer syntax is not supported"
    ),
    contract.NoPixelData: ProblemType(422, "no-pixel-data", "The DICOM object holds no image"),
    contract.FrameOutOfRange: ProblemType(422, "frame-out-of-range", "There is no such frame"),
    contract.TooManyPixels: ProblemType(413, "too-many-pixels", "The image has too many pixels"),
    contract.TooExpensive: FILE_TOO_COSTLY,
    contract.UnsuitableImage: ProblemType(
        422, "unsuitable-image", "The model does not take such an image"
    ),
    contract.ManifestError: INTERNAL,
    contract.InvalidManifest: INTERNAL,
    contract.DigestMismatch: INTERNAL,
    contract.SignatureMismatch: INTERNAL,
    contract.UntrustedBundle: INTERNAL,
    contract.InvalidKey: INTERNAL,
    contract.GoldenMismatch: INTERNAL,
    StartError: NOT_READY,
    InvalidConfiguration: NOT_READY,
    RequestError: ProblemType(422, "invalid-request", "The request cannot be answered"),
    NoFile: ProblemType(422, "no-file", "The request has no file"),
    TooManyFiles: ProblemType(413, "too-many-files", "The request has too many files"),
    MalformedMultipart: ProblemType(
        422, "malformed-multipart", "The multipart body cannot be taken apart"
    ),
    MalformedInference: ProblemType(
        400, "malformed-inference", "The inference request is not well-formed"
    ),
    UnsupportedMediaType: ProblemType(
        415, "unsupported-media-type", "A body of this type holds no image"
    ),
    NotAcceptable: ProblemType(406, "not-acceptable", "The answer has another media type"),
    HeadersTooLarge: ProblemType(431, "headers-too-large", "The request has too many headers"),
    HeadTimeout: ProblemType(408, "head-timeout", "The request did not arrive in time"),
    MisdirectedRequest: ProblemType(421, "misdirected-request", "This is another host"),
    CrossOrigin: ProblemType(403, "cross-origin", "Pages of other origins may not ask for this"),
    UnknownParameter: INVALID_PARAMETER,
    UnsupportedEncoding: ProblemType(
        415, "unsupported-encoding", "The content encoding is not supported"
    ),
    MalformedEncoding: ProblemType(
        400, "malformed-encoding", "The compressed body cannot be inflated"
    ),
    BodyTooLarge: ProblemType(413, "body-too-large", "The request body is too large"),
    BodyTimeout: ProblemType(408, "body-timeout", "The request body did not arrive in time"),
    Unauthenticated: ProblemType(401, "unauthenticated", "A valid API key is needed"),
    Forbidden: ProblemType(403, "forbidden", "The API key does not allow this"),
    UnknownModel: ProblemType(404, "unknown-model", "There is no such model"),
    UnknownAnswer: ProblemType(404, "unknown-answer", "There is no such answer"),
    NoTrail: ProblemType(409, "no-audit-trail", "The service keeps no audit trail"),
    FileTooCostly: FILE_TOO_COSTLY,
    ReloadRefused: ProblemType(409, "reload-refused", "The served models stay as they are"),
    ClientDisconnected: ProblemType(499, "client-disconnected", "The client went away"),
    Overloaded: ProblemType(429, "overloaded", "The service has too much work"),
    QueueFull: ProblemType(429, "queue-full", "The queue is full"),
    RateExceeded: ProblemType(429, "rate-exceeded", "The caller has asked too often"),
    TooManyUploads: ProblemType(
        429, "too-many-uploads", "The service is receiving as much as it can"
    ),
    DeadlineExceeded: ProblemType(
        429, "deadline-exceeded", "The request was not served before its deadline"
    ),
    Unavailable: ProblemType(503, "unavailable", "The service is not available"),
    NotReady: NOT_READY,
    ShuttingDown: ProblemType(503, "shutting-down", "The service is stopping"),
    DeviceLost: ProblemType(503, "device-lost", "The accelerator does not run any more"),
    AuditUnavailable: ProblemType(503, "audit-unavailable", "The audit trail cannot be written"),
    InferenceFailed: INTERNAL,
    FileFailed: INTERNAL,
    OutOfMemory: ProblemType(503, "out-of-memory", "There is not enough memory for the image"),
}


def problem_types() -> dict[str, ProblemType]:
    """Every problem type by its slug."""
    every = (INVALID_PARAMETER, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL, *PROBLEM_TYPES.values())
    return {kind.slug: kind for kind in every}


def problem_type(error: Exception) -> ProblemType:
    """Look an error's kind up in the one table; what is not there is unforeseen."""
    return PROBLEM_TYPES.get(type(error), INTERNAL)
