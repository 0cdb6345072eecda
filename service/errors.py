"""What the service can refuse, and the one table that turns every error into a problem detail.

Source: RFC 9457 (problem details), RFC 9110 section 15 (status codes).
"""

import traceback
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from contract import errors as contract


class ProblemType(Enum):
    """A kind of problem: HTTP status, slug, title, and seconds after which to try again.

    The slug is a stable part of its address, ``/problems/<slug>``.
    """

    INVALID_PARAMETER = 422, "invalid-parameter", "A parameter has an unknown value"
    NOT_FOUND = 404, "not-found", "There is nothing at this address"
    METHOD_NOT_ALLOWED = 405, "method-not-allowed", "This address has no such method"
    INTERNAL = 500, "internal-error", "Something unforeseen went wrong"
    UNUSABLE_IMAGE = 422, "unusable-image", "The image cannot be used"
    NOT_AN_IMAGE = 422, "not-an-image", "The file is not an image"
    CORRUPT_IMAGE = 422, "corrupt-image", "The image is damaged"
    PIXEL_DATA_MISMATCH = 422, "pixel-data-mismatch", "The pixel data does not match its header"
    UNSUPPORTED_FORMAT = 415, "unsupported-format", "The image format is not supported"
    UNSUPPORTED_TRANSFER_SYNTAX = (
        415,
        "unsupported-transfer-syntax",
        "The DICOM transfer syntax is not supported",
    )
    NO_PIXEL_DATA = 422, "no-pixel-data", "The DICOM object holds no image"
    FRAME_OUT_OF_RANGE = 422, "frame-out-of-range", "There is no such frame"
    TOO_MANY_PIXELS = 413, "too-many-pixels", "The image has too many pixels"
    FILE_TOO_COSTLY = 413, "file-too-costly", "Decoding the file takes too much time or memory"
    UNSUITABLE_IMAGE = 422, "unsuitable-image", "The model does not take such an image"
    NOT_READY = 503, "not-ready", "The models are not loaded", 5
    INVALID_REQUEST = 422, "invalid-request", "The request cannot be answered"
    NO_FILE = 422, "no-file", "The request has no file"
    TOO_MANY_FILES = 413, "too-many-files", "The request has too many files"
    MALFORMED_MULTIPART = 422, "malformed-multipart", "The multipart body cannot be taken apart"
    MALFORMED_REQUEST = 400, "malformed-request", "This is no request of HTTP/1.1"
    MALFORMED_INFERENCE = 400, "malformed-inference", "The inference request is not well-formed"
    UNSUPPORTED_MEDIA_TYPE = 415, "unsupported-media-type", "A body of this type holds no image"
    NOT_ACCEPTABLE = 406, "not-acceptable", "The answer has another media type"
    HEADERS_TOO_LARGE = 431, "headers-too-large", "The request has too many headers"
    HEAD_TIMEOUT = 408, "head-timeout", "The request did not arrive in time"
    MISDIRECTED_REQUEST = 421, "misdirected-request", "This is another host"
    CROSS_ORIGIN = 403, "cross-origin", "Pages of other origins may not ask for this"
    UNSUPPORTED_ENCODING = 415, "unsupported-encoding", "The content encoding is not supported"
    MALFORMED_ENCODING = 400, "malformed-encoding", "The compressed body cannot be inflated"
    BODY_TOO_LARGE = 413, "body-too-large", "The request body is too large"
    BODY_TIMEOUT = 408, "body-timeout", "The request body did not arrive in time"
    UNAUTHENTICATED = 401, "unauthenticated", "A valid API key is needed"
    FORBIDDEN = 403, "forbidden", "The API key does not allow this"
    UNKNOWN_MODEL = 404, "unknown-model", "There is no such model"
    UNKNOWN_ANSWER = 404, "unknown-answer", "There is no such answer"
    NO_AUDIT_TRAIL = 409, "no-audit-trail", "The service keeps no audit trail"
    RELOAD_REFUSED = 409, "reload-refused", "The served models stay as they are"
    CLIENT_DISCONNECTED = 499, "client-disconnected", "The client went away"
    OVERLOADED = 429, "overloaded", "The service has too much work"
    QUEUE_FULL = 429, "queue-full", "The queue is full"
    RATE_EXCEEDED = 429, "rate-exceeded", "The caller has asked too often"
    TOO_MANY_UPLOADS = 429, "too-many-uploads", "The service is receiving as much as it can", 5
    DEADLINE_EXCEEDED = 429, "deadline-exceeded", "The request was not served before its deadline"
    UNAVAILABLE = 503, "unavailable", "The service is not available", 5
    SHUTTING_DOWN = 503, "shutting-down", "The service is stopping", 5
    DEVICE_LOST = 503, "device-lost", "The accelerator does not run any more", 60
    AUDIT_UNAVAILABLE = 503, "audit-unavailable", "The audit trail cannot be written", 5
    OUT_OF_MEMORY = 503, "out-of-memory", "There is not enough memory for the image"

    def __init__(
        self, status: int, slug: str, title: str, retry_after_s: int | None = None
    ) -> None:
        self.status = status
        self.slug = slug
        self.title = title
        self.retry_after_s = retry_after_s


class ServiceError(Exception):
    """What this package refuses or cannot do. Its message says what is wrong in this case."""

    def __init__(
        self, problem: ProblemType, message: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.problem = problem
        self.retry_after_s = retry_after_s or problem.retry_after_s


class StartError(ServiceError):
    """The service cannot start: a setting, a file or the machine does not allow it."""

    def __init__(self, message: str) -> None:
        super().__init__(ProblemType.NOT_READY, message)


class DeviceLost(ServiceError):
    """The accelerator does not run any more."""

    def __init__(self) -> None:
        super().__init__(ProblemType.DEVICE_LOST, "The accelerator does not answer.")


class InferenceFailed(ServiceError):
    """The model did not run."""

    def __init__(self) -> None:
        super().__init__(ProblemType.INTERNAL, "The model did not run.")


class FileFailed(ServiceError):
    """A file met an error that nobody foresaw, of which it keeps the kind and places alone.

    Its message may quote the file, and its traceback holds the pixels.
    """

    def __init__(self, kind: str, places: Sequence[str] = (), *, is_memory: bool = False) -> None:
        if is_memory:
            super().__init__(ProblemType.OUT_OF_MEMORY, "Try again later, or send a smaller image.")
        else:
            super().__init__(ProblemType.INTERNAL, "The file could not be read.")
        self.kind = kind
        self.places = places


def where(error: BaseException) -> list[str]:
    """The places that an error came through, without its message, which may quote a file."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in frames]


IMAGE_PROBLEMS: dict[type[Exception], ProblemType] = {
    contract.ImageError: ProblemType.UNUSABLE_IMAGE,
    contract.NotAnImage: ProblemType.NOT_AN_IMAGE,
    contract.CorruptImage: ProblemType.CORRUPT_IMAGE,
    contract.PixelDataMismatch: ProblemType.PIXEL_DATA_MISMATCH,
    contract.UnsupportedFormat: ProblemType.UNSUPPORTED_FORMAT,
    contract.UnsupportedTransferSyntax: ProblemType.UNSUPPORTED_TRANSFER_SYNTAX,
    contract.NoPixelData: ProblemType.NO_PIXEL_DATA,
    contract.FrameOutOfRange: ProblemType.FRAME_OUT_OF_RANGE,
    contract.TooManyPixels: ProblemType.TOO_MANY_PIXELS,
    contract.TooExpensive: ProblemType.FILE_TOO_COSTLY,
    contract.UnsuitableImage: ProblemType.UNSUITABLE_IMAGE,
}


def problem_type(error: Exception) -> ProblemType:
    """The kind of problem that an error is; what is in no table is unforeseen."""
    if isinstance(error, ServiceError):
        return error.problem
    return IMAGE_PROBLEMS.get(type(error), ProblemType.INTERNAL)
