"""HTTP requests as bytes, made once, so that sending one costs the load generator a copy."""

HOST = "127.0.0.1"
_BOUNDARY = b"pneumoscope-benchmark-0123456789"


def raw_request(path: str, image: bytes) -> bytes:
    """POST an image as the whole body."""
    return _post(path, b"image/jpeg", image)


def multipart_request(path: str, image: bytes) -> bytes:
    """POST an image as the one part, named ``file``, of a form.

    Source: RFC 7578.
    """
    disposition = b'Content-Disposition: form-data; name="file"; filename="radiograph.jpeg"\r\n'
    head = b"--" + _BOUNDARY + b"\r\n" + disposition + b"Content-Type: image/jpeg\r\n\r\n"
    body = head + image + b"\r\n--" + _BOUNDARY + b"--\r\n"
    return _post(path, b"multipart/form-data; boundary=" + _BOUNDARY, body)


def get_request(path: str) -> bytes:
    """GET a path."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def _post(path: str, content_type: bytes, body: bytes) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1".encode(),
        f"Host: {HOST}".encode(),
        b"Content-Type: " + content_type,
        f"Content-Length: {len(body)}".encode(),
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
