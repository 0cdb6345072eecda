"""Refuses what a web page of somebody else makes a browser send.

Such a page may give its own name the service's address, or post to the service from another site.
"""

from fnmatch import fnmatchcase

from starlette.types import Scope

from service.errors import ProblemType, ServiceError
from service.headers import header_of
from service.settings import Settings, is_loopback

# Probes of an orchestrator come by the address of the pod.
_PROBES = ("/health/", "/v2/health/")
_READING = ("GET", "HEAD", "OPTIONS")


def check_host(scope: Scope, settings: Settings) -> None:
    """See that a request was meant for this service.

    Raises:
        ServiceError: The Host header has another name. Source: RFC 9110 section 15.5.20.
    """
    if scope["path"].startswith(_PROBES):
        return
    host = (header_of(scope, b"host") or "").lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if settings.allowed_hosts:
        is_known = any(fnmatchcase(name, each) for each in settings.allowed_hosts)
    else:
        is_known = not settings.is_private or is_loopback(name)
    if not is_known:
        raise ServiceError(
            ProblemType.MISDIRECTED_REQUEST,
            "The Host header names another host: see PNEUMO_ALLOWED_HOSTS.",
        )


def check_origin(scope: Scope, settings: Settings) -> None:
    """See that no page of another origin asks for more than to read.

    Programs send neither header. Browsers leave out Sec-Fetch-Site where the page came without TLS.

    Raises:
        ServiceError: One does. Source: W3C Fetch Metadata Request Headers, section 2.4.
    """
    origin, site = header_of(scope, b"origin"), header_of(scope, b"sec-fetch-site")
    if scope["method"] in _READING or {origin, "*"} & set(settings.cors_origins):
        return
    if site is None:
        is_own = origin is None or origin.partition("://")[2] == header_of(scope, b"host")
    else:
        is_own = site in ("same-origin", "none")
    if not is_own:
        raise ServiceError(
            ProblemType.CROSS_ORIGIN,
            "A page of another origin asks for this: see PNEUMO_CORS_ORIGINS.",
        )
