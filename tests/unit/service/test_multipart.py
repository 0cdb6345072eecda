import asyncio
import re
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from service.domain import Upload
from service.errors import ProblemType
from service.uploads import MAX_FIELDS, Form, read_form, read_multipart
from tests.refusals import refused

CONTENT_TYPE = 'multipart/form-data; boundary="x-y"'
GONE: Message = {"type": "http.disconnect"}


def form(*files: tuple[str, bytes]) -> bytes:
    parts = (
        f'--x-y\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    return b"".join(parts) + b"--x-y--\r\n"


def read(*arguments: bytes, **options: int | str) -> list[Upload]:
    return read_whole(*arguments, **options)[0]  # type: ignore[arg-type]


def read_whole(
    body: bytes, piece: int = 65536, content_type: str = CONTENT_TYPE, max_files: int = 9
) -> Form:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    return asyncio.run(read_multipart(content_type, pieces(), max_files))


@given(st.lists(st.binary().filter(lambda b: b"--x-y" not in b), max_size=3), st.integers(1, 50))
def test_files_come_out_as_they_went_in_however_the_body_is_cut(
    contents: list[bytes], piece: int
) -> None:
    body = form(*((f"{n}.png", content) for n, content in enumerate(contents)))

    uploads = read(body, piece=piece)

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


def field(name: str, value: bytes = b"1") -> bytes:
    head = f'--x-y\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + value + b"\r\n"


def test_parts_that_are_no_files_are_fields() -> None:
    body = field("explain", b"heatmap") + form(("a.png", b"data"), ("b.png", b"more"))

    files, fields = read_whole(body, piece=7, max_files=2)

    assert [upload.data() for upload in files] == [b"data", b"more"]
    assert fields == [("explain", "heatmap")]


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
        read(field(name)[:-3])


def test_a_part_without_a_name_is_refused() -> None:
    with refused(ProblemType.MALFORMED_MULTIPART, match="no name"):
        read(b"--x-y\r\n\r\ndata\r\n--x-y--\r\n")


def test_no_more_of_a_field_is_kept_than_a_parameter_may_have() -> None:
    pieces = [field("model", b"x" * 1000)[:-2], *[b"x" * 50_000 for _ in range(100)]]

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
    many = b"".join(field("frame") for _ in range(MAX_FIELDS))

    assert len(read(many + form(("a.png", b"data")))) == 1
    with refused(ProblemType.TOO_MANY_FILES, match=f"at most {MAX_FIELDS} fields"):
        read(many + field("frame") + form(("a.png", b"data")))


def test_an_encoded_name_which_rfc_7578_forbids_here_is_passed_over() -> None:
    names = b"filename*=UTF-8''other.png; filename=\"r\xc3\xb6ntgen.png\""
    head = b"--x-y\r\nContent-Disposition: form-data; name=file; " + names + b"\r\n\r\n"

    (upload,) = read(head + b"data\r\n--x-y--\r\n")

    assert upload.name == "röntgen.png"


def test_files_are_counted_before_they_are_read() -> None:
    body = form(*[("a.png", b"data")] * 4)

    assert len(read(body, max_files=4)) == 4
    with refused(ProblemType.TOO_MANY_FILES, match="at most 3 files"):
        read(body, max_files=3)


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (form(("a", b"")), "multipart/form-data", "no boundary"),
        (form(("a", b""))[:-6], CONTENT_TYPE, "breaks off"),
        (b"something else", CONTENT_TYPE, "not well-formed"),
        (form(("a", b"")), f"multipart/form-data; boundary={'b' * 999}", "not well-formed"),
    ],
)
def test_what_is_not_such_a_form_is_refused(body: bytes, content_type: str, says: str) -> None:
    with refused(ProblemType.MALFORMED_MULTIPART, match=says):
        read(body, content_type=content_type)


@pytest.mark.parametrize("preamble", [b"\r\n", b"This is MIME.\r\n", b"x" * 200_000 + b"--x-y\r\n"])
def test_what_stands_before_the_first_boundary_is_passed_over(preamble: bytes) -> None:
    (upload,) = read(preamble + form(("a", b"data")))

    assert b"".join(upload.chunks) == b"data"


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_boundary_may_be_padded_and_look_like_a_line_before_it(piece: int) -> None:
    body = b"--x-yz\r\n--x-y and more\r\n--x-y \t \r\n" + form(("a", b"data"))[len("--x-y\r\n") :]

    (upload,) = read(body, piece=piece)

    assert upload.data() == b"data"


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_first_boundary_without_a_carriage_return_is_no_preamble(piece: int) -> None:
    body = form(("a", b"data"), ("b", b"more")).replace(b"--x-y\r\n", b"--x-y \n", 1)

    with refused(ProblemType.MALFORMED_MULTIPART, match="CR LF"):
        read_whole(body, piece=piece)


def test_a_form_without_a_part_has_no_file() -> None:
    assert read(b"--x-y--\r\n") == []


def piece_of(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def received(*messages: Message, content_type: str = "") -> list[Upload]:
    """The files of a request whose body arrives in these messages."""
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    return asyncio.run(read_form(request, max_files=1))[0]


def test_a_body_that_is_no_form_is_one_file_in_the_pieces_that_are_not_empty() -> None:
    pieces = (piece_of(b"im"), piece_of(b""), piece_of(b"age"), piece_of(b"", more=False))

    assert received(*pieces) == [Upload(None, (b"im", b"age"))]


def test_nothing_is_asked_for_after_the_last_piece() -> None:
    (upload,) = received({"type": "http.request", "body": b"image"}, GONE)

    assert upload.data() == b"image"


@pytest.mark.parametrize("last", [piece_of(b"", more=False), {"type": "http.request"}])
def test_a_body_without_a_byte_is_no_file(last: Message) -> None:
    with refused(ProblemType.NO_FILE):
        received(piece_of(b""), last)


# Half an upload must not be judged as a file.
@pytest.mark.parametrize(
    ("half", "content_type"),
    [(b"im", ""), (form(("a", b"image"))[:-9], CONTENT_TYPE)],
    ids=["file", "form"],
)
def test_a_client_that_goes_away_in_the_middle_of_its_body_is_noticed(
    half: bytes, content_type: str
) -> None:
    with refused(ProblemType.CLIENT_DISCONNECTED):
        received(piece_of(half), GONE, content_type=content_type)
