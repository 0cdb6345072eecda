import asyncio
import re
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import Upload
from service.errors import ProblemType
from service.uploads import MAX_FIELDS, read_multipart
from tests.refusals import refused

CONTENT_TYPE = 'multipart/form-data; boundary="x-y"'
# However a body is cut, it is read alike.
CUT = pytest.mark.parametrize("piece", [1, 7, 65536])


def part(disposition: str, content: bytes) -> bytes:
    head = f"--x-y\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def form(*files: tuple[str, bytes]) -> bytes:
    parts = (part(f'name="file"; filename="{name}"', content) for name, content in files)
    return b"".join(parts) + b"--x-y--\r\n"


def read(body: bytes, piece: int = 65536) -> list[Upload]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    return asyncio.run(read_multipart(CONTENT_TYPE, pieces(), max_files=9))[0]


@given(st.lists(st.binary().filter(lambda b: b"--x-y" not in b), max_size=3), st.integers(1, 50))
def test_files_come_out_as_they_went_in_however_the_body_is_cut(
    contents: list[bytes], piece: int
) -> None:
    body = form(*((f"{n}.png", content) for n, content in enumerate(contents)))

    uploads = read(body, piece=piece)

    assert [upload.data() for upload in uploads] == contents
    assert [upload.name for upload in uploads] == [f"{n}.png" for n in range(len(contents))]


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ('filename="chest.dcm"', "chest.dcm"),
        ('filename="../../etc/passwd"', "passwd"),
        (r'filename="C:\\patients\\chest.dcm"', "chest.dcm"),
        ('filename="röntgen.png"', "röntgen.png"),
        # RFC 7578 forbids an encoded name here.
        ("filename*=UTF-8''other.png; filename=\"röntgen.png\"", "röntgen.png"),
        ('filename="a\x07b.png"', "ab.png"),
        (f'filename="{"x" * 300}"', "x" * 255),
        ("", None),
        ('filename=""', None),
        ('filename="/"', None),
        ('filename=".."', ".."),
    ],
)
def test_a_name_is_cut_to_its_last_component(names: str, kept: str | None) -> None:
    (upload,) = read(part(f"name=file; {names}", b"data") + b"--x-y--\r\n")

    assert upload.name == kept


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        *((name, "Did you mean file") for name in ("files", "File", "FILE", "file[]", "file1")),
        *((name, "There are: .*file") for name in ("picture", "note", "")),
    ],
)
def test_a_part_of_another_name_is_refused_with_the_nearest_before_its_value_comes(
    name: str, hint: str
) -> None:
    with refused(ProblemType.INVALID_PARAMETER, match=f"^{re.escape(name)}: there is no .*{hint}"):
        read(part(f'name="{name}"', b"")[:-2])


def test_no_more_of_a_field_is_kept_than_a_parameter_may_have() -> None:
    pieces = [part("name=model", b"x" * 1000)[:-2], *[b"x" * 50_000 for _ in range(100)]]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            assert tracemalloc.get_traced_memory()[0] < before + 200_000
        yield b"\r\n--x-y--\r\n"

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        read = asyncio.run(read_multipart(CONTENT_TYPE, body(), 1))
    finally:
        tracemalloc.stop()

    assert read == ([], [("model", "x" * 256)])


def test_fields_are_bounded_in_number() -> None:
    field = part("name=frame", b"1")

    assert len(read(field * MAX_FIELDS + form(("a.png", b"data")))) == 1
    with refused(ProblemType.TOO_MANY_FILES, match=f"at most {MAX_FIELDS} fields"):
        read(field * (MAX_FIELDS + 1) + form(("a.png", b"data")))


@CUT
@pytest.mark.parametrize(
    "preamble",
    [
        b"\r\n--x-y",
        b"This is MIME.\r\n--x-y",
        b"x" * 20_000 + b"--x-y\r\n--x-y",
        b"--x-yz\r\n--x-y and more\r\n--x-y \t ",
    ],
)
def test_what_stands_before_the_first_boundary_is_passed_over(preamble: bytes, piece: int) -> None:
    (upload,) = read(preamble + form(("a", b"data")).removeprefix(b"--x-y"), piece)

    assert upload.data() == b"data"


@CUT
def test_a_first_boundary_without_a_carriage_return_is_no_preamble(piece: int) -> None:
    body = form(("a", b"data"), ("b", b"more")).replace(b"--x-y\r\n", b"--x-y \n", 1)

    with refused(ProblemType.MALFORMED_MULTIPART, match="CR LF"):
        read(body, piece)
