"""The headers of a request, as ASGI has them, and the identifiers in them."""

import random
import re
import time
from uuid import UUID

from starlette.types import Scope

from contract.fhir import MEDIA_TYPE as FHIR

JSON = "application/json"
# All of printable ASCII that can stand in a header and a log line as it is: no space, no quotation
# mark, no angle bracket.
_REQUEST_ID = re.compile(r"[!#-&(-;=?-_a-~]{1,128}")
# Source: W3C Trace Context, section 3.2.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def header_of(scope: Scope, name: bytes) -> str | None:
    """The first header of a name, in lower case as ASGI has them; None where there is none."""
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None


def accept_of(scope: Scope) -> str:
    """What Accept says, in all of its lines. Source: RFC 9110 section 5.3."""
    return ", ".join(str(value, "latin-1") for name, value in scope["headers"] if name == b"accept")


def accepts(accept: str, media_type: str) -> bool:
    """Whether an Accept header takes a media type: its most specific range decides."""
    essence = media_type.partition(";")[0].strip().lower()
    weights = {}
    for media_range in accept.lower().split(","):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        weights[name] = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    for name in (essence, f"{essence.partition('/')[0]}/*", "*/*"):
        if name in weights:
            return any(digit in weights[name] for digit in "123456789")
    return not accept.strip() or not essence


def wants_fhir(accept: str) -> bool:
    """Whether an Accept header names FHIR, and JSON not."""
    named = accept.lower()
    return FHIR in named and JSON not in named and accepts(accept, FHIR)


def uuid7() -> UUID:
    """A UUID that sorts by time. Source: RFC 9562 section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    # Unique and no secret: the system's own would let every other thread go first.
    chance = random.getrandbits(80)
    version_and_variant = 0x7 << 76 | 0b10 << 62
    fields = chance & ~(0xF << 76 | 0b11 << 62) | version_and_variant
    return UUID(int=milliseconds << 80 | fields)


def request_id(given: str | None) -> str:
    """Keep the caller's request identifier where it is a printable one, else make one."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else str(uuid7())


def traceparent(given: str | None) -> str | None:
    """Keep the caller's trace context where it is well-formed."""
    return given if given is not None and _TRACEPARENT.fullmatch(given) else None
