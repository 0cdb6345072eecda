"""From an HTTP request to the files in it, in memory: patients' images never touch the disk."""

from collections.abc import AsyncIterable, AsyncIterator
from pathlib import PurePosixPath

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.domain import Upload
from service.errors import ClientDisconnected, MalformedMultipart, NoFile, TooManyFiles
from service.headers import header_of

FIELD = b"file"
MAX_NAME_LENGTH = 255
MAX_OTHER_PARTS = 32


async def read_uploads(request: Request, max_files: int) -> tuple[Upload, ...]:
    """Read a request's files: the parts of a multipart body, or any other body as one file.

    The content of a file decides what it is, so a declared type of the body is not looked at.

    Raises:
        NoFile: The body is empty, or has no part named ``file``.
        MalformedMultipart: A multipart body cannot be taken apart.
        TooManyFiles: It has more files than that, or too many other parts.
        BodyTooLarge: The body has too many bytes.
        BodyTimeout: The body does not arrive in time.
        TooManyUploads: All bodies together have too many bytes.
        ClientDisconnected: The client went away before its body was complete.
    """
    content_type = header_of(request.scope, b"content-type") or ""
    if content_type.lower().startswith("multipart/"):
        uploads = await read_multipart(content_type, body_of(request), max_files)
    else:
        chunks = tuple([chunk async for chunk in body_of(request)])
        uploads = (Upload(None, chunks),) if chunks else ()
    if not uploads:
        raise NoFile("Send one image as the body, or a multipart body with parts named 'file'.")
    return uploads


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body of a request, in the pieces in which it arrives; none of them is empty.

    Raises:
        BodyTooLarge: The body has too many bytes.
        BodyTimeout: The body does not arrive in time.
        TooManyUploads: All bodies together have too many bytes.
        ClientDisconnected: The client went away before its body was complete.
    """
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The client went away.")
        more = message.get("more_body", False)
        if chunk := message.get("body"):
            yield chunk


async def read_multipart(
    content_type: str, body: AsyncIterable[bytes], max_files: int
) -> tuple[Upload, ...]:
    """Read every part named ``file``; what other parts hold is let go of as it comes.

    Raises:
        MalformedMultipart: The body is no multipart body, or breaks off.
        TooManyFiles: There are more parts than that.
    """
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise MalformedMultipart("The Content-Type header has no boundary.")
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
        raise MalformedMultipart("The multipart body is not well-formed.") from error
    if not parts.complete:
        raise MalformedMultipart("The multipart body breaks off before its last boundary.")
    return tuple(parts.uploads)


async def _from_first_boundary(body: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Leave out the preamble, which the parser takes for damage. Source: RFC 2046 section 5.1.1."""
    line = b"\r\n--" + boundary
    start, is_found = b"\r\n", False
    async for chunk in body:
        if is_found:
            yield chunk
            continue
        start += chunk
        at = start.find(line)
        is_found = at >= 0
        if is_found:
            yield start[at + 2 :]
        else:
            start = start[-len(line) :]
    if not is_found:
        raise MalformedMultipart("The multipart body is not well-formed: it has no boundary line.")


class _Parts:
    """Collects the parts that the parser finds."""

    def __init__(self, max_files: int) -> None:
        self.uploads: list[Upload] = []
        self.complete = False
        self._max_files = max_files
        self._others = 0

    def begin(self) -> None:
        self._chunks: list[bytes] = []
        self._field = self._value = self._disposition = b""
        self._is_file = False

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = options.get(b"name") == FIELD
        self._others += not self._is_file
        if self._others > MAX_OTHER_PARTS:
            raise TooManyFiles(f"One request may have at most {MAX_OTHER_PARTS} other parts.")
        if self._is_file and len(self.uploads) == self._max_files:
            raise TooManyFiles(f"One request may have at most {self._max_files} files.")
        self._name = _file_name(options.get(b"filename"))

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._chunks.append(data[start:end])

    def end(self) -> None:
        if self._is_file:
            self.uploads.append(Upload(self._name, tuple(self._chunks)))

    def finish(self) -> None:
        self.complete = True


def _file_name(raw: bytes | None) -> str | None:
    """The last component of the client's file name, without control characters."""
    if not raw:
        return None
    name = PurePosixPath(raw.decode("utf-8", "replace").replace("\\", "/")).name
    return "".join(c for c in name if c.isprintable())[:MAX_NAME_LENGTH] or None
