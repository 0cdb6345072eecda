import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MalformedMultipart, TooManyFiles
from service.multipart import read_multipart
from service.prediction import Upload

CONTENT_TYPE = 'multipart/form-data; boundary="x-y"'


def form(*files: tuple[str, bytes], field: str = "file") -> bytes:
    parts = (
        f'--x-y\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    return b"".join(parts) + b"--x-y--\r\n"


def read(
    body: bytes, piece: int = 65536, content_type: str = CONTENT_TYPE, max_files: int = 9
) -> tuple[Upload, ...]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    return asyncio.run(read_multipart(content_type, pieces(), max_files))


@given(st.lists(st.binary().filter(lambda b: b"--x-y" not in b), max_size=3), st.integers(1, 50))
def test_files_come_out_as_they_went_in_however_the_body_is_cut(
    contents: list[bytes], piece: int
) -> None:
    body = form(*((f"{n}.png", content) for n, content in enumerate(contents)))

    uploads = read(body, piece)

    assert [upload.data() for upload in uploads] == contents
    assert [upload.name for upload in uploads] == [f"{n}.png" for n in range(len(contents))]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("chest.dcm", "chest.dcm"),
        ("../../etc/passwd", "passwd"),
        ("C:\\\\patients\\\\chest.dcm", "chest.dcm"),
        ("röntgen.png", "röntgen.png"),
        ("a\x07b.png", "ab.png"),
        ("x" * 300, "x" * 255),
        ("", None),
        ("/", None),
        ("..", ".."),
    ],
)
def test_a_name_is_cut_to_its_last_component(given: str, kept: str | None) -> None:
    (upload,) = read(form((given, b"data")))

    assert upload.name == kept


def test_files_are_counted_before_they_are_read() -> None:
    body = form(*[("a.png", b"data")] * 4)

    assert len(read(body, max_files=4)) == 4
    with pytest.raises(TooManyFiles, match="at most 3 files"):
        read(body, max_files=3)


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (form(("a", b"")), "multipart/form-data", "no boundary"),
        (form(("a", b""), field="image"), CONTENT_TYPE, "must be named 'file'"),
        (form(("a", b""))[:-6], CONTENT_TYPE, "breaks off"),
        (b"something else", CONTENT_TYPE, "not well-formed"),
        (b"--x-y\r\n\r\ndata\r\n--x-y--\r\n", CONTENT_TYPE, "must be named 'file'"),
        (form(("a", b"")), f"multipart/form-data; boundary={'b' * 999}", "not well-formed"),
    ],
)
def test_what_is_not_such_a_form_is_refused(body: bytes, content_type: str, says: str) -> None:
    with pytest.raises(MalformedMultipart, match=says):
        read(body, content_type=content_type)


def test_a_form_without_a_part_has_no_file() -> None:
    assert read(b"--x-y--\r\n") == ()
