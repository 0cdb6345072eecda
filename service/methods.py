"""HEAD, OPTIONS, and a slash at the end of a path, for every route. Plain ASGI.

Source: RFC 9110 section 9.3.2 (HEAD), section 9.3.7 (OPTIONS), section 10.2.1 (Allow).
"""

import http

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Methods:
    """Answers what holds for any resource, so that no route has to."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, HEAD as GET, and complete its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        # A redirect to the path without the slash would need an address from the Host header, and
        # clients would not send their body again.
        scope["path"] = scope["path"].rstrip("/") or "/"
        # A copy, because the server looks at the method of its own when it writes the answer.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        has_body = method != "HEAD"

        async def complete(message: Message) -> None:
            nonlocal has_body
            if message.get("status") == http.HTTPStatus.METHOD_NOT_ALLOWED:
                message = _with_every_method(message, scope)
                has_body = method != "OPTIONS"
            elif message["type"] == "http.response.body" and not has_body:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(inner, receive, complete)
        finally:
            scope.update(inner, method=method)


def _with_every_method(message: Message, scope: Scope) -> Message:
    """Name HEAD and OPTIONS wherever methods are named; for OPTIONS that is the whole answer."""
    allowed = {*MutableHeaders(raw=message["headers"])["allow"].split(", "), "OPTIONS"}
    allow = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
    if scope["method"] == "OPTIONS":
        scope["state"].pop("problem", None)
        return {**message, "status": 204, "headers": [(b"allow", allow.encode())]}
    MutableHeaders(raw=message["headers"])["allow"] = allow
    return message
