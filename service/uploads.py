"""From an HTTP request to the files in it."""

from collections.abc import AsyncIterator

from starlette.requests import Request

from service.errors import ClientDisconnected, NoFile
from service.headers import header_of
from service.multipart import read_multipart
from service.prediction import Upload


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
