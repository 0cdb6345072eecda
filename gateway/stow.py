"""STOW-RS: instances by HTTP, each written to the disk as it comes.

Source: DICOM PS3.18 10.5.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import structlog
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.errors import StorageFull, Unacceptable
from gateway.headers import read_header, read_meta
from gateway.intake import Intake
from gateway.metrics import RECEIVED, REFUSED

log = structlog.get_logger()
RETRY_AFTER = {"Retry-After": "30"}
_DICOM_JSON = "application/dicom+json"
# Failure Reason. Source: DICOM PS3.18 table I.2-2.
_OUT_OF_RESOURCES = {"00081197": {"vr": "US", "Value": [0xA700]}}
_CANNOT_UNDERSTAND = {"00081197": {"vr": "US", "Value": [0xC000]}}


async def store_instances(request: Request, intake: Intake, max_body_bytes: int) -> Response:
    """Take the instances of a request, and say of each what became of it.

    Raises:
        HTTPException: Nothing was taken.
    """
    try:
        intake.check_space()
    except StorageFull as error:
        raise HTTPException(503, str(error), RETRY_AFTER) from error
    parts = await _receive(request, intake.incoming, max_body_bytes)
    return await run_in_threadpool(_take, intake, parts, request.path_params.get("study"))


class _Parts:
    """Writes the parts of a multipart body to files, as they come."""

    def __init__(self, boundary: bytes, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = self._left = limit
        self._open: BinaryIO | None = None
        self.files: list[Path] = []
        self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self.close,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._left -= len(chunk)
        if self._left < 0:
            raise HTTPException(413, f"a body may have {self._limit} bytes")
        self._parser.write(chunk)

    def finish(self) -> None:
        """Tell that there is no more."""
        if not self._is_whole:
            raise HTTPException(400, "the multipart body breaks off before its last boundary")

    def close(self) -> None:
        """Close the file at hand."""
        if self._open:
            self._open.close()
            self._open = None

    def _begin(self) -> None:
        self.files.append(self._folder / f"{uuid.uuid4().hex}.dcm")
        self._open = self.files[-1].open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._open:
            self._open.write(data[start:end])

    def _end(self) -> None:
        self._is_whole = True


async def _receive(request: Request, folder: Path, limit: int) -> list[Path]:
    """Write the parts of a body to files."""
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    boundary = options.get(b"boundary")
    declared = options.get(b"type", b"application/dicom").lower()
    if kind != b"multipart/related" or not boundary or declared != b"application/dicom":
        raise HTTPException(415, 'send multipart/related; type="application/dicom" with a boundary')
    parts = _Parts(boundary, folder, limit)
    try:
        async for chunk in request.stream():
            parts.feed(chunk)
        parts.finish()
    except BaseException as error:
        for file in parts.files:
            file.unlink()
        if isinstance(error, FormParserError):
            raise HTTPException(400, "the multipart body is malformed") from error
        raise
    finally:
        parts.close()
    return parts.files


def _take(intake: Intake, files: Sequence[Path], study: str | None) -> JSONResponse:
    """Take each part for itself, and say of each what became of it."""
    kept, failed = [], []
    for file in files:
        reference: dict[str, Any] = {}
        try:
            reference = _reference(file, study)
            outcome = intake.take(file, "stow")
            RECEIVED.labels("stow", outcome).inc()
            kept.append(reference)
        except Unacceptable:
            REFUSED.labels("unacceptable").inc()
            failed.append({**reference, **_CANNOT_UNDERSTAND})
        except (StorageFull, OSError, SQLAlchemyError):
            REFUSED.labels("not kept").inc()
            failed.append({**reference, **_OUT_OF_RESOURCES})
        except Exception as error:  # noqa: BLE001
            # One part that nobody foresaw must not stop the others.
            log.warning("unforeseen", source="stow", error=type(error).__name__)
            REFUSED.labels("unacceptable").inc()
            failed.append({**reference, **_CANNOT_UNDERSTAND})
        finally:
            file.unlink(missing_ok=True)
    body = {}
    if kept:
        body["00081199"] = {"vr": "SQ", "Value": kept}
    if failed:
        body["00081198"] = {"vr": "SQ", "Value": failed}
    status = 200 if not failed else 202 if kept else 409
    return JSONResponse(body, status, media_type=_DICOM_JSON)


def _reference(file: Path, study: str | None) -> dict[str, Any]:
    """Name an instance, as long as it is of the study that the request is about."""
    meta = read_meta(file)
    if study and str(read_header(file, routing_only=True).get("StudyInstanceUID")) != study:
        raise Unacceptable("It is of another study.")
    return {
        "00081150": {"vr": "UI", "Value": [str(meta.get("MediaStorageSOPClassUID", ""))]},
        "00081155": {"vr": "UI", "Value": [str(meta.get("MediaStorageSOPInstanceUID", ""))]},
    }
