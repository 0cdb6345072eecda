"""The short way to the routes that carry the load.

FastAPI's own way to an endpoint takes a fifth of a request's time on the event loop, for things
that these endpoints have no use for. They are routes of FastAPI all the same, which documents them
and answers every other method on their paths.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import answer_error


class DirectRoutes:
    """Calls the endpoints of some routes itself, and leaves all else to the application."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            routes: FastAPI's, each with a fixed path, an endpoint that takes the request alone and
                answers with a response, and dependencies that take the request alone and give
                nothing.
        """
        self._app = app
        self._routes = {
            (method, route.path): _Direct.to(route)
            for route in routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of the routes, or pass it on."""
        direct = None
        if scope["type"] == "http":
            direct = self._routes.get((scope["method"], scope["path"]))
        if direct is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = direct.route
        request = Request(scope, receive, send)
        try:
            for check in direct.checks:
                await check(request)
            response = await direct.endpoint(request)
        except Exception as error:  # noqa: BLE001 - what is unforeseen is raised again
            response = await answer_error(request, error)
            # Its frames hold the upload, and one of them the error: a cycle that would keep the
            # bytes until the garbage collector comes by, long after they were given back.
            error.with_traceback(None)
        await response(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Direct:
    """What a route runs: first its dependencies, then its endpoint."""

    route: APIRoute
    checks: tuple[Callable[[Request], Awaitable[Any]], ...]
    endpoint: Callable[[Request], Awaitable[Response]]

    @classmethod
    def to(cls, route: APIRoute) -> "_Direct":
        checks = tuple(each.dependency for each in route.dependencies)
        return cls(
            route,
            cast("tuple[Callable[[Request], Awaitable[Any]], ...]", checks),
            cast("Callable[[Request], Awaitable[Response]]", route.endpoint),
        )
