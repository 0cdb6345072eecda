"""STOW-RS: instances by HTTP, each written to the disk as it comes.

Source: DICOM PS3.18 10.5.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.errors import StorageFull, Unacceptable
from gateway.headers import read_header, read_meta
from gateway.intake import CANNOT_UNDERSTAND, SUCCESS, Intake
from gateway.metrics import REFUSED

RETRY_AFTER = {"Retry-After": "30"}
# Of the answer, in DICOM's JSON: Referenced and Failed SOP Sequence, Failure Reason.
_REFERENCED, _FAILED, _REASON = "00081199", "00081198", "00081197"


async def store_instances(request: Request, intake: Intake, max_body_bytes: int) -> Response:
    """Take the instances of a request, and say of each what became of it."""
    try:
        intake.check_space()
    except StorageFull as error:
        raise HTTPException(503, str(error), RETRY_AFTER) from error
    study = request.path_params.get("study")
    with TemporaryDirectory(dir=intake.incoming) as folder:
        parts = await _receive(request, Path(folder), max_body_bytes)
        return await run_in_threadpool(_take, intake, parts, study)


async def _receive(request: Request, folder: Path, limit: int) -> list[Path]:
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    boundary = options.get(b"boundary")
    declared = options.get(b"type", b"application/dicom").lower()
    if kind != b"multipart/related" or not boundary or declared != b"application/dicom":
        raise HTTPException(415, 'send multipart/related; type="application/dicom" with a boundary')
    files: list[BinaryIO] = []
    callbacks: Any = {
        "on_part_begin": lambda: files.append((folder / f"{len(files)}.dcm").open("wb")),
        "on_part_data": lambda data, start, end: files[-1].write(data[start:end]),
        "on_part_end": lambda: files[-1].close(),
    }
    parser = MultipartParser(boundary, callbacks)
    try:
        async for chunk in pieces_of(request, limit):
            parser.write(chunk)
    except FormParserError as error:
        raise HTTPException(400, "the multipart body is malformed") from error
    if parser.state != MultipartState.END:
        raise HTTPException(400, "the multipart body breaks off before its last boundary")
    return [Path(file.name) for file in files]


async def pieces_of(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes; refused where it has more than ``limit`` bytes."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise HTTPException(413, f"a body may have {limit} bytes")
        yield chunk


def _take(intake: Intake, files: Sequence[Path], study: str | None) -> JSONResponse:
    kept, failed = [], []
    for file in files:
        reference: dict[str, Any] = {}
        try:
            reference = _reference(file, study)
            status = intake.answer(file, "stow")
        except Exception:  # noqa: BLE001 - pydicom raises whatever the bytes lead it to
            REFUSED.labels("unacceptable").inc()
            status = CANNOT_UNDERSTAND
        if status == SUCCESS:
            kept.append(reference)
        else:
            failed.append({**reference, _REASON: {"vr": "US", "Value": [status]}})
    sequences = ((_REFERENCED, kept), (_FAILED, failed))
    body = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences if items}
    code = 200 if not failed else 202 if kept else 409
    return JSONResponse(body, code, media_type="application/dicom+json")


def _reference(file: Path, study: str | None) -> dict[str, Any]:
    """Name an instance, as long as it is of the study that the request is about."""
    meta = read_meta(file)
    if study and str(read_header(file, routing_only=True).get("StudyInstanceUID")) != study:
        raise Unacceptable("It is of another study.")
    return {
        "00081150": {"vr": "UI", "Value": [str(meta.get("MediaStorageSOPClassUID", ""))]},
        "00081155": {"vr": "UI", "Value": [str(meta.get("MediaStorageSOPInstanceUID", ""))]},
    }
