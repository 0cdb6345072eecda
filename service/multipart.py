"""Takes a multipart body apart as it arrives, in memory: patients' images never touch the disk."""

from collections.abc import AsyncIterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from service.errors import MalformedMultipart, TooManyFiles
from service.prediction import Upload

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
MAX_NAME_LENGTH = 255
MAX_OTHER_PARTS = 32


async def read_multipart(
    content_type: str, body: AsyncIterable[bytes], max_files: int
) -> tuple[Upload, ...]:
    """Read every part named ``file``; what other parts hold is let go of as it comes.

    Args:
        content_type: The value of the Content-Type header, with its boundary.
        body: The body, in the pieces in which it arrives.
        max_files: The most such parts; of others there may be 32.

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
        parser = MultipartParser(boundary, parts.callbacks())
        async for chunk in body:
            parser.write(chunk)
    except FormParserError as error:
        raise MalformedMultipart("The multipart body is not well-formed.") from error
    return parts.uploads()


class _Parts:
    """Collects the parts that the parser finds."""

    def __init__(self, max_files: int) -> None:
        self._max_files = max_files
        self._uploads: list[Upload] = []
        self._chunks: list[bytes] = []
        self._field = b""
        self._value = b""
        self._disposition = b""
        self._is_file = False
        self._others = 0
        self._complete = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def uploads(self) -> tuple[Upload, ...]:
        if not self._complete:
            raise MalformedMultipart("The multipart body breaks off before its last boundary.")
        return tuple(self._uploads)

    def _begin(self) -> None:
        self._chunks, self._disposition = [], b""
        self._field = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = options.get(b"name") == FIELD.encode()
        self._others += not self._is_file
        if self._others > MAX_OTHER_PARTS:
            raise TooManyFiles(f"One request may have at most {MAX_OTHER_PARTS} other parts.")
        if self._is_file and len(self._uploads) == self._max_files:
            raise TooManyFiles(f"One request may have at most {self._max_files} files.")
        self._name = _file_name(options.get(b"filename"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._chunks.append(data[start:end])

    def _end(self) -> None:
        if self._is_file:
            self._uploads.append(Upload(self._name, tuple(self._chunks)))

    def _finish(self) -> None:
        self._complete = True


def _file_name(raw: bytes | None) -> str | None:
    """The last component of the client's file name, without control characters."""
    if not raw:
        return None
    name = PurePosixPath(raw.decode("utf-8", "replace").replace("\\", "/")).name
    return "".join(c for c in name if c.isprintable())[:MAX_NAME_LENGTH] or None
