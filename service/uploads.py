"""From an HTTP request to the files and parameters in it.

Files are kept in memory: patients' images never touch the disk. Parameters come in the query, or as
fields of the form beside the files.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from difflib import get_close_matches
from pathlib import PurePosixPath

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.domain import Upload
from service.errors import ProblemType, ServiceError
from service.headers import header_of
from service.schemas import PredictQuery

FIELD = "file"
MAX_NAME_LENGTH = 255
# More than any parameter takes: a longer value is refused all the same.
MAX_VALUE_BYTES = 256
MAX_FIELDS = 32
_MAX_NAME = 40
# Of spaces behind the first boundary, with what stands around it.
_MAX_PADDING = 64
_KNOWN = tuple(PredictQuery.model_fields)


Form = tuple[list[Upload], list[tuple[str, str]]]
"""What a request's body holds: its files, and its other fields as name and value."""


async def read_form(request: Request, max_files: int) -> Form:
    """Read a request's body: the parts of a multipart body, or any other body as one file.

    The content of a file decides what it is, so a declared type of the body is not looked at.

    Raises ServiceError where there is no file, or the form or the body is not as it must be.
    """
    content_type = header_of(request.scope, b"content-type") or ""
    if content_type.lower().startswith("multipart/"):
        files, fields = await read_multipart(content_type, body_of(request), max_files)
    else:
        chunks = tuple([chunk async for chunk in body_of(request)])
        files = [Upload(None, chunks)] if chunks else []
        fields = []
    if not files:
        raise ServiceError(
            ProblemType.NO_FILE,
            "Send one image as the body, or a multipart body with parts named 'file'.",
        )
    return files, fields


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body of a request, in the pieces in which it arrives; none of them is empty."""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ServiceError(ProblemType.CLIENT_DISCONNECTED, "The client went away.")
        more = message.get("more_body", False)
        if chunk := message.get("body"):
            yield chunk


async def read_multipart(content_type: str, body: AsyncIterable[bytes], max_files: int) -> Form:
    """Read every part: those named ``file``, and fields, whose values are cut where too long."""
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise _malformed("The Content-Type header has no boundary.")
    parts = _Parts(max_files)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_headers_finished": parts.headers_finished,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_end": parts.finish,
            },
        )
        async for chunk in _from_first_boundary(body, boundary):
            parser.write(chunk)
    except FormParserError as error:
        raise _malformed("The multipart body is not well-formed.") from error
    if not parts.complete:
        raise _malformed("The multipart body breaks off before its last boundary.")
    return parts.uploads, parts.fields


async def _from_first_boundary(body: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Leave out the preamble, which the parser takes for damage. Source: RFC 2046 section 5.1.1."""
    line = re.compile(rb"\r\n--" + re.escape(boundary) + rb"(?:[ \t]*(\r?\n)|(--))")
    start, is_found = b"\r\n", False
    async for chunk in body:
        if is_found:
            yield chunk
            continue
        start += chunk
        if found := line.search(start):
            if found[1] == b"\n":
                raise _malformed(
                    "The multipart body is not well-formed: its lines must end in CR LF."
                )
            is_found = True
            yield b"--" + boundary + (found[1] or found[2]) + start[found.end() :]
        else:
            start = start[-len(boundary) - _MAX_PADDING :]
    if not is_found:
        raise _malformed("The multipart body is not well-formed: it has no boundary line.")


def _malformed(what: str) -> ServiceError:
    return ServiceError(ProblemType.MALFORMED_MULTIPART, what)


def _check_name(name: str, known: tuple[str, ...] = _KNOWN) -> None:
    """See that there is a parameter, or a part of a form, of a name; else name the nearest."""
    if name in known:
        return
    near = get_close_matches(name[:_MAX_NAME].lower(), known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    raise ServiceError(
        ProblemType.INVALID_PARAMETER, f"{name[:_MAX_NAME]}: there is no such parameter. {hint}"
    )


def read_parameters(given: Iterable[tuple[str, str]]) -> PredictQuery:
    """Read parameters, wherever they come from.

    Raises ServiceError for an unknown name or a second value, RequestValidationError for a wrong
    value.
    """
    values: dict[str, str] = {}
    for name, value in given:
        _check_name(name)
        if values.setdefault(name, value) != value:
            raise ServiceError(ProblemType.INVALID_PARAMETER, f"{name}: it has two values.")
    try:
        return PredictQuery.model_validate(values)
    except ValidationError as error:
        # One that may be left out takes None as well, of which no client knows.
        told = [each for each in error.errors() if each["type"] != "none_required"]
        raise RequestValidationError([each | {"loc": each["loc"][:1]} for each in told]) from error


class _Parts:
    """Collects the parts that the parser finds."""

    def __init__(self, max_files: int) -> None:
        self.uploads: list[Upload] = []
        self.fields: list[tuple[str, str]] = []
        self.complete = False
        self._max_files = max_files

    def begin(self) -> None:
        self._chunks: list[bytes] = []
        self._header = self._value = self._disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _malformed("A part of the multipart body has no name.")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._is_file = self._name == FIELD
        said = None
        if self._is_file and len(self.uploads) == self._max_files:
            said = f"at most {self._max_files} files; a FHIR answer has one"
        elif not self._is_file and len(self.fields) == MAX_FIELDS:
            said = f"at most {MAX_FIELDS} fields"
        if said is not None:
            raise ServiceError(ProblemType.TOO_MANY_FILES, f"One request may have {said}.")
        _check_name(self._name, (*_KNOWN, FIELD))
        self._file_name = _file_name(options.get(b"filename"))

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._chunks.append(data[start:end])
        else:
            self._value = (self._value + data[start:end])[:MAX_VALUE_BYTES]

    def end(self) -> None:
        if self._is_file:
            self.uploads.append(Upload(self._file_name, tuple(self._chunks)))
        else:
            self.fields.append((self._name, self._value.decode("utf-8", "replace")))

    def finish(self) -> None:
        self.complete = True


def _file_name(raw: bytes | None) -> str | None:
    """The last component of the client's file name, without control characters."""
    name = PurePosixPath((raw or b"").decode("utf-8", "replace").replace("\\", "/")).name
    return "".join(c for c in name if c.isprintable())[:MAX_NAME_LENGTH] or None
