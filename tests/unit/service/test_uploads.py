import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from service.domain import Upload
from service.errors import ProblemType
from service.uploads import read_form
from tests.refusals import refused

GONE: Message = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def read(*messages: Message) -> tuple[Upload, ...]:
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    request = Request({"type": "http", "headers": []}, receive)
    return asyncio.run(read_form(request, max_files=1)).files


def test_a_body_that_is_no_form_is_one_file_in_the_pieces_in_which_it_came() -> None:
    (upload,) = read(piece(b"im"), piece(b""), piece(b"age"), piece(b"", more=False))

    assert upload == Upload(None, (b"im", b"age"))


def test_nothing_is_asked_for_after_the_last_piece() -> None:
    (upload,) = read({"type": "http.request", "body": b"image"}, GONE)

    assert upload.data() == b"image"


@pytest.mark.parametrize("last", [piece(b"", more=False), {"type": "http.request"}])
def test_a_body_without_a_byte_is_no_file(last: Message) -> None:
    with refused(ProblemType.NO_FILE):
        read(piece(b""), last)


def test_a_client_that_goes_away_before_its_body_is_complete_is_noticed() -> None:
    with refused(ProblemType.CLIENT_DISCONNECTED):
        read(piece(b"im"), GONE)
